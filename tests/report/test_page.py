"""The report's page against an independent HTML parser."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import string
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files

import pandas as pd
import pytest

from crossgap.errors import CrossgapError
from crossgap.prepared.manifest import caption_id
from crossgap.report import Results, render
from crossgap.report import page as report_page
from crossgap.report.page import LICENCES, SCRIPTS
from crossgap.report.results import read_table

SIGNS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"

IMAGE_QUERIES = ("image-image", "oti-image", "oti-oti", "text-image")
TEXT_QUERIES = ("text-text", "ovi-text", "ovi-ovi", "image-text")
CLASSIFICATION = ("image-text", "oti-text", "image-ovi")
METRICS = ("mAP", "mAP@R", "R-precision", "recall@1", "recall@5", "recall@10")
URL_ATTRIBUTES = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}


def metrics(relevances=("group", "colour")) -> dict[str, float]:
    """Every key of the contract, each with a value of its own."""
    values: dict[str, float] = {}
    number = 0.100011
    for task in (*IMAGE_QUERIES, *TEXT_QUERIES):
        for relevance in relevances:
            for metric in METRICS:
                values[f"retrieval/{task}/{relevance}/{metric}"] = number = round(number + 0.007013, 6)
    for task in CLASSIFICATION:
        values[f"classification/{task}/colour/accuracy"] = number = round(number - 0.003017, 6)
    gap = [("centroid_distance", 0.8514), ("linear_separability", 0.9876), ("alignment", 1.3804)]
    gap += [("uniformity_image", -1.7951), ("uniformity_text", -1.8412), ("matching_distance", 1.1745)]
    gap += [("cross_uniformity", -3.3343), ("relative_modality_gap", 0.5915)]
    gap += [("effective_rank_image", 104.5946), ("effective_rank_text", 96.9295)]
    values |= {f"gap/{name}": value for name, value in gap}
    values |= {"items/images": 1000, "items/texts": 5000, "items/texts_truncated": 7}
    return values | {"inversion/oti/loss": 0.12346, "inversion/ovi/loss": 0.34567}


def clouds() -> pd.DataFrame:
    modalities = ["image"] * 5 + ["text"] * 5
    ids = [f"{modality}{i}" for i, modality in enumerate(modalities)]
    return pd.DataFrame({"x": range(10), "y": [i % 3 for i in range(10)], "modality": modalities, "id": ids})


def curves(steps=(5, 17, 150)) -> pd.DataFrame:
    """Two numbers of tokens of OTI by two relevances; R = 4 has one step less. Then the one point of OVI."""
    mean = {5: 0.31, 17: 0.42, 150: 0.3}
    rows = [
        (
            "oti-image",
            tokens,
            relevance,
            step,
            0.5 / step,
            mean[step] + tokens / 100 + len(relevance) / 1000,
            0.25,
        )
        for relevance in ("colour", "group")
        for tokens in (1, 4)
        for step in steps
        if (tokens, step) != (4, 17)
    ]
    columns = ["task", "tokens", "relevance", "step", "loss", "mAP", "baseline"]
    return pd.DataFrame([*rows, ("ovi-text", 1, "group", 1000, 0.1, 0.5, 0.4)], columns=columns)


def cell(backbone="nano", dataset="world", **changes) -> Results:
    problems = pd.DataFrame({"id": ["w/3"], "item": ["images/3.jpg"], "problem": ["zero-byte file"]})
    provenance = {"model": "nano-vit", "libraries": {"torch": "2.15"}, "mean": [0.5, 0.25]}
    defaults = {"metrics": metrics(), "clouds": clouds(), "problems": problems, "provenance": provenance}
    return Results(backbone, dataset, **defaults | changes)


def test_the_table_holds_every_number(parse):
    values = metrics()
    shown = {}
    for row in parse(render([cell()])).rows():
        for name in (*METRICS, "accuracy"):
            if name in row:
                shown[row["family"], row["task"], row["method"], row["labelling"], name] = row[name]
    kept = {key: value for key, value in values.items() if key.startswith(("retrieval/", "classification/"))}
    assert sorted(shown.values()) == pytest.approx(sorted(kept.values()), abs=6e-6)
    at = "retrieval", "image-image retrieval", "OTI-image", "colour"
    assert shown[*at, "R-precision"] == pytest.approx(
        values["retrieval/oti-image/colour/R-precision"], abs=6e-6
    )
    at = "classification", "zero-shot classification", "image-OVI", "colour"
    assert shown[*at, "accuracy"] == pytest.approx(
        values["classification/image-ovi/colour/accuracy"], abs=6e-6
    )


def test_gap_items_and_inversion_hold_every_number(parse):
    page = parse(render([cell()]))
    gap = page.data["gap"]
    assert dict(zip([title for title, _ in gap["names"]], gap["rows"][0][2:], strict=True)) == {
        "centroid distance": 0.8514,
        "linear separability": 0.9876,
        "uniformity, images": -1.7951,
        "uniformity, texts": -1.8412,
        "effective rank, images": 104.59,
        "effective rank, texts": 96.93,
        "alignment": 1.3804,
        "matching distance": 1.1745,
        "cross uniformity": -3.3343,
        "relative modality gap": 0.5915,
    }
    assert page.table("Mean final loss")[1:] == [["OTI", "0.1235"], ["OVI", "0.3457"]]
    assert page.table("Items set aside")[1:] == [["w/3", "images/3.jpg", "zero-byte file"]]
    for said in (
        "images 1,000",
        "texts truncated 7",
        "set aside 1",
        "libraries, torch 2.15",
        "mean 0.5, 0.25",
    ):
        assert said in page.text
    assert "Other numbers" not in page.titles


def test_gap_measures_of_every_cell_and_with_corrections(parse):
    more = {"gap/new_measure": 0.25, "gap/centroid_distance+pca": 0.125}
    page = parse(render([cell(), cell(dataset="flickr8k"), cell("ViT-B-32", "world", metrics=more)]))
    gap = page.data["gap"]
    assert [title for title, _ in gap["names"]][-1] == "new measure"
    assert [row[:2] for row in gap["rows"]] == [
        [0, "native features"], [1, "native features"], [2, "native features"], [2, "pca"],
    ]  # fmt: skip
    assert [row[-1] for row in gap["rows"]] == [None, None, 0.25, None]
    assert [row[2] for row in gap["rows"]] == [0.8514, 0.8514, None, 0.125]


def test_user_text_is_escaped(parse):
    nasty = "</script><script>alert('x')</script> & \"q\" {{ 7 * 7 }} <!--"
    values = {f"retrieval/image-image/{nasty}/mAP": 0.5, f"gap/{nasty}": 0.5, f"items/{nasty}": 3, nasty: 0.5}
    problems = pd.DataFrame({"id": [nasty], "item": [nasty], "problem": [nasty]})
    points = clouds().assign(modality=nasty)
    aside = pd.DataFrame({"inversion": [nasty], "group": [nasty], "id": [nasty]})
    steps = curves().assign(relevance=nasty, task="oti-image").drop_duplicates(["tokens", "step"])
    html = render([Results(nasty, nasty, values, points, problems, {nasty: nasty}, aside, steps), cell()])
    page = parse(html)
    assert (
        len(page.all("script")) == 7 + len(SCRIPTS)
        and "<script>alert" not in html
        and "&lt;script&gt;alert" in html
    )
    assert page.table("Items set aside")[1] == [nasty] * 3
    assert page.rows()[0]["labelling"] == page.data["cells"][0]["dataset"] == nasty
    assert page.text.count(nasty) > 8


def test_names_of_modalities_splits_and_corrections_are_escaped():
    nasty = "\"'><b onclick=alert(1)>x</b></script>"
    corrections = [(nasty, nasty, f"https://a/{nasty}", nasty, nasty, nasty)]
    columns = ["name", "title", "source", "how", "parameters", "reason"]
    html = render(
        [
            Results(
                nasty,
                nasty,
                {**metrics((nasty,)), f"retrieval/image-image+{nasty}/{nasty}/mAP": 0.5},
                corrections=pd.DataFrame(corrections, columns=columns),
                unavailable=pd.DataFrame({"family": [nasty], "name": [nasty], "reason": [nasty]}),
                modalities={"image": nasty, "text": nasty},
                query=nasty,
                gallery=nasty,
                published=nasty,
                provenance={nasty: {nasty: [nasty]}},
            ),
            cell(),
        ]
    )
    assert "<b onclick" not in html and "&lt;b onclick" in html
    assert html.count("</script") == html.count("<script")


def test_page_loads_nothing(parse):
    html = render([cell(), cell(dataset="other")])
    page = parse(html)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in URL_ATTRIBUTES & attributes.keys():
            address = attributes[name]
            allowed = ("#", "https://arxiv.org/abs/") if tag == "a" else ("data:image/",)
            assert address.startswith(allowed), (tag, name, address)
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe-eval" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == len(SCRIPTS)
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    for number in ("2502.04263", "2405.18570", "2603.16100"):
        assert f"https://arxiv.org/abs/{number}" in html


def test_page_is_labelled_and_bundles_have_licences(parse):
    page = parse(render([cell()]))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("nav")) == 1
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"].removeprefix("#") for link in page.all("a") if link["href"].startswith("#")} <= set(
        ids
    )
    for name, licence in LICENCES.items():
        text = files("crossgap.report").joinpath("vendor", f"{licence}.LICENSE").read_text("utf-8")
        assert "ermission" in text and name


def test_equal_cells_give_equal_bytes():
    first = render([cell()])
    assert render([cell(metrics=dict(reversed(metrics().items())))]) == first


def test_imported_image_features_alone(parse):
    """No text, no test and no figure: nothing is said of them."""
    page = parse(render([Results("openai", "dtd", {"retrieval/image-image/class/mAP": 0.2897})]))
    assert [(row["method"], row["mAP"]) for row in page.rows()] == [("native features", 0.2897)]
    assert (
        "– not recorded" in page.text and "truncated captions –" in page.text and "set aside 0" in page.text
    )
    assert page.titles == ["Items", "What made these features"] and not page.tables


def test_nothing_evaluated(parse):
    page = parse(render([]))
    assert "Nothing was evaluated" in page.text and not page.all("select")
    assert "Its gap was not measured" in parse(render([cell(metrics={})])).text


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {}, "clouds": None, "problems": None, "provenance": {}},
        {"clouds": clouds().iloc[:0], "problems": pd.DataFrame(columns=["id", "item", "problem"])},
        {"clouds": clouds().query("modality == 'text'")},
        {"clouds": clouds().iloc[:1]},
        {"curves": curves().assign(mAP=float("nan"), loss=float("nan"), baseline=float("nan"))},
        {"metrics": {key: value for key, value in metrics().items() if not re.search("oti|ovi", key)}},
        {"metrics": {key: value for key, value in metrics().items() if "image-image" not in key}},
        {"metrics": dict.fromkeys(metrics(), float("nan"))},
        {"metrics": dict.fromkeys(metrics())},
    ],
)
def test_missing_pieces(parse, changes):
    page = parse(render([cell(**changes)]))
    assert not re.search(r"\b(nan|None|inf)\b", page.text)


def test_clouds_are_on_one_scale_and_joined_by_item(parse):
    points = pd.DataFrame(
        [
            (0.0, 0.0, "image", "a"),
            (2.0, 1.0, "image", "b"),
            (1.0, 0.5, "text", "b#0"),
            (2.0, 0.0, "text", "c#1"),
        ],
        columns=["x", "y", "modality", "id"],
    )
    page = parse(render([cell(clouds=points), cell(dataset="other", clouds=points)]))
    first, second = [block for block in page.blocks if block["kind"] == "cloud"]
    assert first == second

    def places(text):
        signs = [SIGNS.index(sign) for sign in text]
        return [64 * high + low for high, low in zip(signs[::2], signs[1::2], strict=True)]

    of = first["modalities"]
    assert places(of["image"]["x"]) == [0, 4095] and places(of["image"]["y"]) == [0, 2048]
    assert places(of["text"]["x"]) == [2048, 4095] and places(of["text"]["y"]) == [1024, 0]
    items = page.later["items"]
    assert [[items[i] for i in page.later["lists"][of[m]["of"]]] for m in ("image", "text")] == [
        ["a", "b"],
        ["b", "c"],
    ]


def test_images_that_end_like_captions_are_not_one_item(parse):
    names = [("image", "a#1"), ("image", "a#2"), ("text", "a#1#0"), ("oti", "a#2"), ("ovi", "a#1#0")]
    points = clouds().iloc[:5].assign(**dict(zip(("modality", "id"), zip(*names, strict=True), strict=True)))
    page = parse(render([cell(clouds=points)]))
    (block,) = [block for block in page.blocks if block["kind"] == "cloud"]
    found = {
        modality: [page.later["items"][i] for i in page.later["lists"][of["of"]]]
        for modality, of in block["modalities"].items()
    }
    assert found == {"image": ["a#1", "a#2"], "text": ["a#1"], "oti": ["a#2"], "ovi": ["a#1"]}


def test_captions_of_a_dataset_are_joined_with_their_images(parse):
    ids = [caption_id("birds/1", "a wren", ordinal) for ordinal in (1, 2)]
    points = clouds().iloc[:3].assign(modality=["image", "text", "ovi"], id=["birds/1", *ids])
    page = parse(render([cell(clouds=points)]))
    (block,) = [block for block in page.blocks if block["kind"] == "cloud"]
    lists = {page.later["lists"][of["of"]][0] for of in block["modalities"].values()}
    assert [page.later["items"][item] for item in lists] == ["birds/1"]


def test_points_of_images_that_are_called_by_numbers_keep_their_names(parse, tmp_path):
    points = clouds().iloc[:2].assign(modality="image", id=["000123", "000124"])
    points.to_csv(tmp_path / "clouds.csv", index=False)
    held = read_table(tmp_path / "clouds.csv")
    assert held["id"].tolist() == ["000123", "000124"]
    assert {"000123", "000124"} <= set(parse(render([cell(clouds=held)])).later["items"])


def test_unknown_numbers_are_listed_or_are_rows(parse):
    values = {
        "retrieval_ceiling/text-image/group/recall@1": 0.63,
        "classification/image-text/colour/top5": 0.75,
        "speed": 12.5,
    }
    page = parse(render([cell(metrics=values)]))
    assert [(row["task"], row[row["main"]]) for row in page.rows()] == [
        ("zero-shot classification", 0.75),
        ("text-image retrieval ceiling", 0.63),
    ]
    assert page.table("Metrics by their key")[1:] == [["speed", "12.5"]]


def test_unknown_tables_are_shown_by_their_columns(parse):
    @dataclass(frozen=True, eq=False)
    class Wider(Results):
        remarks: pd.DataFrame | None = None

    columns = ["removed", "distance", "family", "task", "relevance", "metric", "value"]
    rows = [(n, 1 - n / 4, "retrieval", "image-text", "group", "mAP", 0.5 + n / 8) for n in (0, 1, 3)]
    of = Wider(
        "b",
        "d",
        {},
        dimensions=pd.DataFrame(rows, columns=columns),
        remarks=pd.DataFrame({"a_b": [1], "c": ["x"]}),
    )
    page = parse(render([of]))
    panels = page.figure("Tasks measured again; dimensions removed")
    assert panels["across, mAP"]["image-text"]["y"] == [50, 62.5, 87.5]
    assert panels["centroid distance"][""] == {"name": "", "x": [0, 1, 3], "y": [1, 0.75, 0.25]}
    assert page.table("Remarks") == [["a b", "c"], ["1", "x"]]


def test_over_steps_holds_every_number_and_names_the_best(parse):
    values = metrics() | {
        "snapshots/oti-image/colour/best_step": 17,
        "snapshots/oti-image/colour/best_mAP": 0.436,
    }
    page = parse(render([cell(metrics=values, curves=curves())]))
    panels = page.figure("OTI-image over the steps")
    assert list(panels) == ["group, mAP in %", "colour, mAP in %", "loss, 1 − cosine"]
    assert panels["group, mAP in %"]["R = 1"] == {"name": "R = 1", "x": [5, 17, 150], "y": [32.5, 43.5, 31.5]}
    assert panels["colour, mAP in %"]["R = 4"]["y"] == [35.6, 34.6]
    assert panels["loss, 1 − cosine"]["R = 1"]["y"] == pytest.approx([0.1, 0.5 / 17, 0.5 / 150], rel=1e-4)
    heading, *rows = page.table("OTI-image, mAP in percent")
    assert heading == ["relevance", "R", "image-image", "last step", "best step", "mAP there"]
    assert rows == [
        ["group", "1", "25.00", "31.50", "17", "43.50"],
        ["group", "4", "25.00", "34.50", "5", "35.50"],
        ["colour", "1", "25.00", "31.60", "17", "43.60"],
        ["colour", "4", "25.00", "34.60", "5", "35.60"],
    ]
    assert not [caption for caption, _ in page.tables if caption.startswith("OVI-text, ")], "it has one point"
    assert "choose the step on other data" in page.text and "Other numbers" not in page.titles


@pytest.mark.parametrize("lacking", [None, curves().iloc[:0], curves(steps=(150,)).query("tokens == 1")])
def test_no_part_over_steps_without_snapshots(parse, lacking):
    values = metrics() | {"snapshots/oti-image/colour/best_step": 1_234_567}
    page = parse(render([cell(metrics=values, curves=lacking)]))
    assert "Over the steps of an inversion" not in page.titles
    assert page.table("Metrics by their key")[1:] == [["snapshots/oti-image/colour/best_step", "1234567"]]


def test_items_set_aside_by_an_inversion_are_named(parse):
    aside = pd.DataFrame({"inversion": ["oti"], "group": ["image/test"], "id": ["<w/7>"]})
    values = {"inversion/oti/set_aside": 1, "inversion/oti/loss": 0.5}
    page = parse(render([cell(metrics=values, not_inverted=aside)]))
    assert page.table("Their loss was not finite")[1] == ["<w/7>", "image/test", "oti"]
    assert "set aside by OTI 1" in page.text
    page = parse(render([cell(metrics=values, not_inverted=aside.iloc[:0])]))
    assert not [caption for caption, _ in page.tables if caption.startswith("Their loss")]


def test_relevance_with_a_slash(parse):
    (row,) = parse(render([cell(metrics={"retrieval/image-image/a/b/mAP": 0.5})])).rows()
    assert (row["labelling"], row["mAP"]) == ("a/b", 0.5)


def test_refusals_name_the_cell():
    with pytest.raises(ValueError, match="nano · world is there twice"):
        render([cell(), cell()])
    with pytest.raises(ValueError, match="nano · world: clouds: no column modality"):
        render([cell(clouds=clouds().drop(columns="modality"))])
    with pytest.raises(ValueError, match="1 of 10 points have no finite coordinates, the first is 'image0'"):
        render([cell(clouds=clouds().assign(x=[float("nan")] + [0.0] * 9))])
    with pytest.raises(ValueError, match="nano · world: curves: no column mAP, baseline"):
        render([cell(curves=curves().drop(columns=["mAP", "baseline"]))])
    with pytest.raises(ValueError, match="nano · world: not_inverted: no column group"):
        render([cell(not_inverted=pd.DataFrame({"id": ["a"], "inversion": ["oti"]}))])
    with pytest.raises(ValueError, match="nano · world: problems: no column item"):
        render([cell(problems=pd.DataFrame({"id": ["a"], "problem": ["b"]}))])


def test_texts_that_are_cut_and_documents_that_are_summarised(parse):
    counts = {"items/text/test": 7532, "items/text/test/truncated": 1200, "items/text/query": 20}
    counts |= {"items/text/query/truncated": 0}
    page = parse(render([Results("openai", "newsgroups", counts)]))
    assert "only their heads count: 1,200 of 7,532 of test." in page.text
    assert "stood for by summaries" not in page.text
    counts |= {"items/text/test/truncated": 0}
    page = parse(render([Results("openai", "newsgroups", counts, provenance={"summaries": "data/s.json"})]))
    assert "only their heads count" not in page.text
    assert "stood for by summaries, those in data/s.json." in page.text


def test_page_needs_nothing_heavy():
    code = (
        "import sys\nfrom crossgap.report import Results, render\nrender([Results('a', 'b', {})])\n"
        "heavy = {'matplotlib', 'torch', 'pandas', 'sklearn', 'open_clip'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bands_of_steps_are_intervals_of_the_means(parse):
    """Mean 0.5, standard error 0.05: 0.5 ± 1.96 · 0.05; losses likewise; a table without has none."""
    points = curves().assign(mAP=0.5, mAP_se=0.05, loss=1.0, loss_se=0.1)
    values = {"retrieval/oti-image/colour/mAP": 0.5}
    for panel, low, high in (("colour, mAP in %", 40.2, 59.8), ("loss, 1 − cosine", 0.804, 1.196)):
        found = parse(render([cell(metrics=values, curves=points)])).figure("OTI-image over the steps")
        for line in found[panel].values():
            assert set(line["low"]) == {low} and set(line["high"]) == {high}
        assert not any(
            "low" in line
            for line in parse(render([cell(metrics=values, curves=curves())]))
            .figure("OTI-image over the steps")[panel]
            .values()
        )


def test_without_a_mean_there_is_no_band(parse):
    points = curves().assign(mAP=None, mAP_se=0.05, loss=1.0, loss_se=0.1)
    page = render([cell(metrics={"retrieval/oti-image/colour/mAP": 0.5}, curves=points)])
    found = parse(page).figure("OTI-image over the steps")
    assert all("low" not in line for line in found["colour, mAP in %"].values())
    assert all("low" in line for line in found["loss, 1 − cosine"].values())


def test_a_page_that_would_be_too_large_lacks_metrics_that_nothing_is_compared_by(parse, monkeypatch):
    values = {
        f"retrieval/{task}/colour/{metric}": 0.5
        for task in ("image-image", "oti-image")
        for metric in ("mAP", "recall@1", "recall@5")
    }
    whole = parse(render([cell(metrics=values)]))
    assert {"mAP", "recall@1", "recall@5"} <= whole.rows()[0].keys() and whole.later["left_out"] == []
    monkeypatch.setattr(report_page, "NUMBERS", 1)
    less = parse(render([cell(metrics=values)]))
    assert "mAP" in less.rows()[0] and not {"recall@1", "recall@5"} & less.rows()[0].keys()
    *names, p = [name for chapter, name in less.later["left_out"] if chapter == "explore"]
    assert p == "p before its correction"
    assert sorted(names) == [
        "recall@1",
        "recall@5",
    ]


def test_no_more_parts_are_left_out_than_must_be() -> None:
    """Compared with leaving out one after the other."""
    rng = random.Random(0)
    names = ["small", "middle", "large", *report_page.LAST]
    sizes = [100, 400, 900, *range(2000, 2000 + len(report_page.LAST))]
    views = [
        [
            {"chapter": "a", "title": name, "text": rng.randbytes(size).hex()}
            for name, size in zip(names, sizes, strict=True)
        ]
        for _ in range(2)
    ]
    wanted = [["a", "large"], ["a", "middle"], ["a", "small"]]
    for number in range(4):
        gone = [name for _, name in wanted[:number]]
        left = [
            report_page.packed_json([part for part in view if part["title"] not in gone]) for view in views
        ]
        assert report_page._within(views, sum(map(len, left))) == (left, wanted[:number])


def test_the_parts_of_the_cells_are_packed_once_for_each_choice(monkeypatch) -> None:
    views = [[{"chapter": "a", "title": str(number), "text": "x" * 100 * number} for number in range(9)]]
    seen: list[str] = []

    def counting(content: object) -> str:
        seen.append(repr(content))
        return "x" * len(repr(content))

    monkeypatch.setattr(report_page, "packed_json", counting)
    for room in range(0, 5000, 50):
        seen.clear()
        report_page._within(views, room)
        assert len(set(seen)) == len(seen)


def test_words_of_a_table_that_look_like_nothing_stay_and_one_cut_short_is_refused(tmp_path):
    path = tmp_path / "corrections.csv"
    path.write_text("name,fitted_on,reason\nNA,None,\nnull,nan,why\n", encoding="utf-8")
    found = read_table(path)
    assert found["name"].tolist() == ["NA", "null"] and found["fitted_on"].tolist() == ["None", "nan"]
    assert found["reason"].isna().tolist() == [True, False]
    path.write_text("step,loss\n1,0.25\n2,0.12", encoding="utf-8")
    with pytest.raises(CrossgapError, match=r"corrections\.csv is damaged \(it is cut short\)"):
        read_table(path)
