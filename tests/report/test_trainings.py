"""Fine-tuned backbones on the page, against an independent parser and plain arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossgap.report import Results, Training, render
from crossgap.training.finetune_recipe import Finetune

LABELLINGS = ("colour", "texture")
CUA = {"clip": 1, "uniformity": 1, "alignment": 1}
TITLE = "what the loss does to the gap"
PUBLISHED = pd.read_csv(Path(__file__).parents[2] / "data" / "reference" / "published.csv")


def metrics(number: int) -> dict[str, float]:
    """Of no two cells alike."""
    rise = number / 64
    found = {
        "gap/centroid_distance": 0.75 - rise,
        "gap/linear_separability": 1 - rise / 2,
        "gap/uniformity_image": -2 - rise,
        "gap/uniformity_text": -1.5 - rise,
        "gap/alignment": 0.5 + rise,
        "retrieval/text-image/group/recall@1": 0.25 + rise,
        "retrieval/image-text/group/recall@1": 0.2 + rise,
        "retrieval/image-image/group/mAP": 0.99,  # of captions' groups: no labelling
        "retrieval/oti-image/group/mAP": 0.01,
        "retrieval/image-image/control/mAP": 0.98,  # of a control: no labelling either
        "retrieval/oti-image/control/mAP": 0.02,
    }
    for i, name in enumerate(LABELLINGS):
        found[f"classification/image-text/{name}/accuracy"] = 0.5 + i / 8 + rise
        found[f"classification/oti-text/{name}/accuracy"] = 0.01
        found[f"clustering/joint/{name}/ami"] = 0.2 + i / 9 + rise
        found[f"clustering/joint+centering/{name}/ami"] = found[f"clustering/joint/{name}/v_measure"] = 0.97
        found[f"retrieval/image-image/{name}/mAP"] = 0.375 + i / 10 + rise
        found[f"retrieval/oti-image/{name}/mAP"] = 0.5 + i / 7 - rise
        found[f"arithmetic/{name}/test/score"] = 0.3 + i / 5 + rise
        found[f"arithmetic/{name}/dev/score"] = 0.9
        found[f"arithmetic/{name}/test/score_at_best_dev"] = 0.95
    return found


def curves(number=0, drop=()) -> pd.DataFrame:
    steps = np.array([1, 2, 5, 9])
    measures = {"loss": 3, "centroid_distance": 0.7, "matching_cosine": 0.2, "temperature": 0.01}
    table = {name: start + number + 1 / steps for name, start in measures.items() if name not in drop}
    return pd.DataFrame({"step": steps, **table})


def training(name="tuned", table=None, **changes) -> Training:
    """Each field as the stage writes it."""
    recipe = Finetune(**{"backbone": "nano", "dataset": "world", "width": 64} | changes).model_dump(
        mode="json"
    )
    return Training(name, recipe, curves() if table is None else table)


def page(trainings, published=None, without=(), base=True, cells=None) -> str:
    if cells is None:
        names = [*(["nano"] if base else ["other"]), *(training.name for training in trainings)]
        cells = [
            Results(
                name, "world", {key: v for key, v in metrics(i).items() if not key.startswith(tuple(without))}
            )
            for i, name in enumerate(dict.fromkeys(names))
        ]
    return render(cells, published, trainings=trainings)


def number(value: float, places=3, scale=1, sign="") -> str:
    return f"{scale * value:{sign}.{places}f}".replace("-", "−")


def expected(values: dict[str, float]) -> list[str]:
    zero_shot = [values[f"classification/image-text/{name}/accuracy"] for name in LABELLINGS]
    native = [values[f"retrieval/image-image/{name}/mAP"] for name in LABELLINGS]
    inverted = [values[f"retrieval/oti-image/{name}/mAP"] for name in LABELLINGS]
    arithmetic = [values[f"arithmetic/{name}/test/score"] for name in LABELLINGS]
    joint = [values[f"clustering/joint/{name}/ami"] for name in LABELLINGS]
    gap = ("centroid_distance", "linear_separability", "uniformity_image", "uniformity_text", "alignment")
    rates = [values[f"retrieval/{task}/group/recall@1"] for task in ("text-image", "image-text")]
    return [
        *(number(values[f"gap/{name}"]) for name in gap),
        *(number(rate, 2, 100) for rate in rates),
        number(sum(zero_shot) / 2, 2, 100),
        number(zero_shot[1], 2, 100),
        number(sum(native) / 2, 2, 100),
        number(sum(joint) / 2, 2, 100),
        number((inverted[0] - native[0] + inverted[1] - native[1]) / 2, 2, 100, "+"),
        number(sum(arithmetic) / 2, 2, 100),
    ]


def test_a_row_for_the_base_and_for_each_trained_backbone(parse):
    tuned = [
        training("a", silent_on=["texture"]),
        training("b", losses=CUA, temperature=1, seed=3, width=None, learn_temperature=True),
    ]
    heading, *rows = parse(page(tuned)).table("world: fine-tuned backbones")
    assert heading[:6] == ["backbone", "losses", "d", "temperature", "silent on", "seed"]
    assert heading[-6:] == [
        "zero-shot", "zero-shot by texture", "image-image mAP", "clusters of both, AMI", "OTI-image, gain",
        "arithmetic",
    ]  # fmt: skip
    assert [row[:6] for row in rows] == [
        ["nano", "not fine-tuned", "own", "–", "–", "–"],
        ["a", "CLIP", "64", "0.01", "texture", "0"],
        ["b", "CUA", "own", "learned from 1", "–", "3"],
    ]
    for i, row in enumerate(rows):
        assert row[6:] == expected(metrics(i))
    refined = training("c", losses={"random_alignment": 1, "hybrid_distillation": 1}, width=None)
    _, _, row = parse(page([refined])).table("world: fine-tuned backbones")
    assert row[:5] == ["c", "CLIP-REFINE", "own", "–", "0"]


def test_what_a_cell_lacks_is_a_missing_sign_and_columns_without_any_number_go(parse):
    shown = parse(
        page(
            [training(silent_on=["texture"])],
            without=("arithmetic", "clustering", "retrieval/oti", "gap/align"),
        )
    )
    heading, _, row = shown.table("world: fine-tuned backbones")
    assert "arithmetic" not in heading and "clusters of both, AMI" not in heading
    assert "zero-shot by texture" in heading
    assert row[heading.index("OTI-image, gain")] == row[heading.index("alignment")] == "–"
    heading, *_ = parse(page([training()])).table("world: fine-tuned backbones")
    assert "arithmetic" in heading and "silent on" not in heading and "zero-shot by texture" not in heading
    values = metrics(1) | {"classification/image-text/colour/accuracy": float("nan")}
    cells = [Results("tuned", "world", values)]
    heading, base, row = parse(page([training()], cells=cells)).table("world: fine-tuned backbones")
    assert row[heading.index("zero-shot")] == "–"
    assert base[0] == "nano" and set(base[5:]) == {"–"}


def test_a_control_on_a_subset_counts_as_no_labelling(parse):
    values = {key: value for key, value in metrics(1).items() if not key.startswith("classification")}
    cells = [Results("tuned", "world", values, subsets=["control"])]
    heading, _, row = parse(page([training()], cells=cells)).table("world: fine-tuned backbones")
    native = [values[f"retrieval/image-image/{name}/mAP"] for name in LABELLINGS]
    assert row[heading.index("image-image mAP")] == number(sum(native) / len(native), 2, 100)


def test_each_base_heads_its_own_and_each_dataset_has_a_table(parse):
    tuned = [training("a"), training("b", backbone="big"), training("c"), training("d")]
    cells = [Results(name, "world", metrics(i)) for i, name in enumerate(("big", "nano", "a", "b", "c"))]
    cells += [
        Results("nano", "photos", metrics(7)),
        Results("c", "photos", metrics(8)),
        Results("nano", "empty", {}),
    ]
    shown = parse(page(tuned, cells=cells))
    assert [row[0] for row in shown.table("world: fine-tuned")[1:]] == ["nano", "a", "c", "big", "b"]
    assert [row[0] for row in shown.table("photos: fine-tuned")[1:]] == ["nano", "c"]
    assert sum("fine-tuned backbones" in caption for caption, _ in shown.tables) == 2


def test_labellings_are_all_but_the_groups_where_nothing_is_classified(parse):
    heading, *_, row = parse(page([training()], without=("classification",))).table("world: fine-tuned")
    values = metrics(1)
    native = [values[f"retrieval/image-image/{name}/mAP"] for name in (*LABELLINGS, "control")]
    assert row[heading.index("image-image mAP")] == number(sum(native) / 3, 2, 100)


@pytest.mark.parametrize(
    ("losses", "shown"),
    [
        ({"clip": 1}, "CLIP"),
        ({"alignment": 1, "clip": 1, "uniformity": 1}, "CUA"),
        (CUA | {"cross_uniformity": 1}, "CUAXU"),
        (CUA | {"alignment": 0.5}, "clip + uniformity + 0.5 alignment"),
        ({"clip": 1, "cross_uniformity": 2}, "clip + 2 cross uniformity"),
        ({"clip": 2}, "2 clip"),
        ({"clip": 1, "alignment": 1, "centroid_uniformity": 1}, "MODGAP"),
        ({"random_alignment": 1, "hybrid_distillation": 1}, "CLIP-REFINE"),
    ],
)
def test_sums_have_their_names_only_with_weights_of_1(losses, shown):
    assert training(losses=losses).losses == shown


def test_mean_and_deviation_over_seeds_of_one_recipe(parse):
    tuned = [training(f"s{seed}", losses=CUA, seed=seed) for seed in range(3)]
    tuned += [training("s0-again", losses=CUA, seed=0), training("faster", losses=CUA, seed=4, lr=0.1)]
    tuned += [training("narrow", losses=CUA, seed=5, width=32)]
    heading, *rows = parse(page(tuned)).table("world: mean ± standard deviation")
    (row,) = rows
    assert row[:5] == ["nano", "CUA", "64", "0.01", "3"] and heading[4] == "seeds"
    of = [metrics(i) for i in (1, 2, 3)]  # s0, s1, s2 after the base

    def spread(values, places, scale, sign=""):
        deviation = number(np.std(values, ddof=1), places, scale)
        return f"{number(np.mean(values), places, scale, sign)} ± {deviation}"

    at = dict(zip(heading, row, strict=True))
    assert at["centroid distance"] == spread([m["gap/centroid_distance"] for m in of], 3, 1)
    recall = [m["retrieval/text-image/group/recall@1"] for m in of]
    assert at["text-image recall@1"] == spread(recall, 2, 100)
    gains = [
        np.mean([m[f"retrieval/oti-image/{n}/mAP"] - m[f"retrieval/image-image/{n}/mAP"] for n in LABELLINGS])
        for m in of
    ]
    assert at["OTI-image, gain"] == spread(gains, 2, 100, "+")


def test_no_spread_of_one_seed_nor_of_seeds_of_which_one_lacks_the_number(parse):
    assert (
        "over seeds of the same recipe" not in parse(page([training("a"), training("b", temperature=1)])).text
    )
    cells = [Results("a", "world", metrics(1)), Results("b", "world", {"gap/centroid_distance": 0.5})]
    tuned = [training("a"), training("b", seed=1)]
    heading, row = parse(page(tuned, cells=cells)).table("world: mean ± standard deviation")
    assert row[heading.index("alignment")] == "–"
    assert row[heading.index("centroid distance")].startswith("0.617 ± ")


def test_lines_are_the_curves_and_seeds_have_a_band(parse):
    tuned = [training("a_$1", curves(0)), training("cua", curves(1, ["matching_cosine"]), losses=CUA)]
    tuned += [training("a2", curves(2), seed=1), training("none", pd.DataFrame(), temperature=1)]
    panels = parse(page(tuned)).figure("Over the steps of each training")
    assert list(panels) == ["loss", "centroid distance", "matching cosine"]
    for title, measure in zip(panels, ("loss", "centroid_distance", "matching_cosine"), strict=True):
        assert list(panels[title]) == ["a_$1 and 1 more", *(["cua"] if measure != "matching_cosine" else [])]
        line = panels[title]["a_$1 and 1 more"]
        both = [curves(number)[measure] for number in (0, 2)]
        assert line["x"] == list(curves()["step"])
        assert line["y"] == pytest.approx((both[0] + both[1]) / 2, rel=1e-4)
        assert line["low"] == pytest.approx(list(both[0]), rel=1e-4)
        assert line["high"] == pytest.approx(list(both[1]), rel=1e-4)
    assert panels["loss"]["cua"]["y"] == pytest.approx(list(curves(1)["loss"]), rel=1e-4)
    assert "low" not in panels["loss"]["cua"]


def test_published_figures_are_those_of_the_paper_as_it_gives_them(parse):
    shown = parse(page([training()], PUBLISHED))
    rows = PUBLISHED[PUBLISHED["source"].str.startswith("2405.18570")]
    found = {}
    for caption, (heading, *body) in shown.tables:
        if not caption.startswith("As the paper reports it"):
            continue
        source = caption.rpartition(": ")[2]
        for row in body:
            for method, value in zip(heading[5:], row[5:], strict=True):
                found[(source, *row[:5], method)] = value
    assert len(found) == len(rows) > 0
    for row in rows.to_dict("records"):
        of = (row["source"], row["model"], row["dataset"], row["task"], row["metric"].replace("_", " "))
        assert float(found[(*of, row["setting"], row["method"].upper())]) == row["value"]
    assert "As the paper reports it" not in parse(page([training()])).text


def test_nothing_is_said_without_trainings_and_what_was_not_evaluated_is_said(parse):
    assert TITLE not in parse(page([], PUBLISHED)).text
    shown = parse(page([training()], cells=[Results("nano", "world", metrics(0))]))
    assert TITLE in shown.text and "None of them was evaluated" in shown.text
    assert "learn_temperature False" in shown.text  # the recipe
    bare = parse(page([training(table=pd.DataFrame())]))
    assert "Over the steps of each training" not in bare.text and TITLE in bare.text


@pytest.mark.parametrize(
    ("trainings", "message"),
    [
        ([training(), training()], "trainings: tuned is there twice"),
        (
            [Training("bad", {"backbone": "nano", "losses": {"clip": 1}}, curves())],
            "training bad: recipe without width",
        ),
        ([training(table=curves().drop(columns="step"))], "training tuned: curves: no column step"),
    ],
)
def test_bad_input_is_an_error_that_names_the_training(trainings, message):
    with pytest.raises(ValueError, match=message):
        page(trainings)


def test_published_figures_without_a_column_are_an_error():
    cells = [Results("other", "elsewhere", {})]
    with pytest.raises(ValueError, match="published: no column setting"):
        page([training()], PUBLISHED.drop(columns="setting"), cells=cells)
