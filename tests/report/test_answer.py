"""The page's first sentences, against arithmetic by hand."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from crossgap.report import Results
from crossgap.report.answer import answers
from crossgap.report.explore import COLUMNS, lines

ALL = ("family", "task", "baseline", *COLUMNS[2:])


def cell(dataset="world", shift=0.0, tests=True, **more) -> Results:
    values = {"gap/centroid_distance": 0.75 + shift, "gap/linear_separability": 0.99 + shift / 20}
    rows = []
    for labelling, oti, pca, p in (
        ("colour", 0.1, 0.03, 0.001),
        ("place", -0.05, 0.01, 0.04),
        ("size", 0.01, 0.02, 0.5),
    ):
        values[f"retrieval/image-image/{labelling}/mAP"] = 0.5
        for task, gain in (("oti-image", oti), ("image-image+pca", pca), ("image-image+bad", -0.2)):
            values[f"retrieval/{task}/{labelling}/mAP"] = 0.5 + gain
            rows.append(
                (
                    "retrieval",
                    task,
                    "image-image",
                    labelling,
                    0.5 + gain,
                    0.5,
                    gain,
                    gain - 0.02,
                    gain + 0.02,
                    p,
                    p,
                    50,
                )
            )
    table = pd.DataFrame(rows, columns=ALL) if tests else None
    return Results("b32", dataset, values | more, comparisons=table)


def sentences(*cells: Results) -> tuple[str, str, str]:
    (answer,) = answers([(each, lines(each)) for each in cells])
    assert answer.backbone == "b32"
    return answer.sentences


def test_three_sentences_of_one_cell():
    gap, inter, best = sentences(cell())
    assert gap == (
        "On world, the means of image and text features lie 0.750 apart (centroid distance: 0 if they coincide, at "
        "most 2), and a linear classifier tells the modalities apart with an accuracy of 99.00\N{NO-BREAK SPACE}%."
    )
    # (10 − 5 + 1) / 3 points
    assert inter == (
        "Inverted queries (OTI-image) change the mAP of image retrieval by +2.00 points on average, compared with "
        "native ones (image-image): significantly better by 1 of 3 labellings, most by colour (+10.00 [8.00, "
        "12.00], p = 0.0010), significantly worse by 1, most by place (−5.00 [−7.00, −3.00], p = 0.0400), undecided "
        "by 1."
    )
    assert best == (
        "Of 2 corrections, pca is best for image retrieval: +2.00 points, significantly better by 2 of 3 "
        "labellings, most by colour (+3.00 [1.00, 5.00], p = 0.0010), undecided by 1."
    )


def test_several_datasets_are_summarised_by_range_and_median():
    gap, inter, _ = sentences(cell(), cell("photos", 0.1), cell("sketches", 0.02))
    assert "On 3 of 3 datasets" in gap and "lie 0.750 to 0.850, in the median 0.770, apart" in gap
    assert "better by 3 of 9 labellings, most by colour on world" in inter
    assert "lie 0.750 apart" in sentences(cell(), cell("photos"))[0]


def test_what_was_not_measured_is_said():
    assert sentences(Results("b32", "world", {})) == (
        "Its gap was not measured: that needs images and texts.",
        "No inverted query was compared with a native one: what going inter-modal gains or costs is not known.",
        "No correction was measured.",
    )
    _, inter, best = sentences(cell(tests=False))
    assert inter.endswith("native ones (image-image): not tested by 3 of 3 labellings.")
    assert best.endswith("+2.00 points, not tested by 3 of 3 labellings.")


def test_by_phi_alone_is_said():
    metrics = {
        f"retrieval/{task}/colour/mAP": 0.5 for task in ("image-image", "oti.distilled.cosine.world-image")
    }
    _, inter, _ = sentences(Results("b32", "world", metrics))
    assert inter == "Queries were inverted by φ alone: the table of results compares them with native ones."


def test_no_correction_that_helps_is_called_the_best():
    values = {"retrieval/image-image/colour/mAP": 0.5, "retrieval/image-image+bad/colour/mAP": 0.4}
    *_, best = sentences(Results("b32", "world", values))
    assert best == (
        "Of 1 correction, bad costs least, but none helps on average for image retrieval: −10.00 points, not tested by "
        "1 of 1 labelling."
    )


def test_a_control_on_a_subset_is_no_labelling():
    whole = cell()
    assert "of 3 labellings" in sentences(whole)[1]
    assert "of 2 labellings" in sentences(replace(whole, subsets=["colour"]))[1]


def test_of_landmarks_settings_medium_alone_is_a_labelling():
    of = cell()
    names = {"colour": "easy", "place": "medium", "size": "hard"}
    metrics = {"/".join(names.get(part, part) for part in key.split("/")): v for key, v in of.metrics.items()}
    compared = of.comparisons.assign(relevance=of.comparisons["relevance"].map(names))
    inter = sentences(replace(of, metrics=metrics, comparisons=compared))[1]
    assert (
        "by −5.00 points on average" in inter
        and "significantly worse by 1 of 1 labelling, most by medium" in inter
    )


def test_each_backbone_has_its_own_numbers():
    cells = [cell(), replace(cell(shift=0.1), backbone="l14")]
    found = answers([(each, lines(each)) for each in cells])
    assert [(answer.backbone, *answer.sentences) for answer in found] == [
        ("b32", *sentences(cells[0])),
        ("l14", *sentences(replace(cells[1], backbone="b32"))),
    ]
    assert "lie 0.750 apart" in found[0].sentences[0] and "lie 0.850 apart" in found[1].sentences[0]


def test_a_correction_that_is_measured_in_fewer_places_is_not_called_the_best():
    gains = {"image-image+pca": [0.02, 0.02], "image-image+bold": [0.3], "text-text+pca": [0.1, 0.1]}
    values = {}
    for task, of in ({"image-image": [0, 0], "text-text": [0, 0]} | gains).items():
        values |= {
            f"retrieval/{task}/{labelling}/mAP": 0.5 + gain
            for labelling, gain in zip(("colour", "size"), of, strict=False)
        }
    *_, best = sentences(Results("b32", "world", values))
    assert best == (
        "Of 2 corrections, pca is best for image retrieval: +2.00 points, not tested by 2 of 2 labellings; pca is best "
        "for text retrieval: +10.00 points, not tested by 2 of 2 labellings."
    )


def test_the_largest_loss_is_named_and_what_phi_gives_is_no_inversion_of_the_mean():
    of = cell()
    lost = (of.comparisons["task"] == "oti-image") & (of.comparisons["relevance"] == "size")
    compared = of.comparisons.copy()
    compared.loc[lost, ["value", "difference", "low", "high", "p", "p_adjusted"]] = (
        0.4,
        -0.1,
        -0.12,
        -0.08,
        0,
        0.001,
    )
    metrics = {**of.metrics, "retrieval/oti-image/size/mAP": 0.4}
    metrics["retrieval/oti.distilled.cosine.world-image/colour/mAP"] = 0.9
    inter = sentences(replace(of, metrics=metrics, comparisons=compared))[1]
    assert "by −1.67 points on average" in inter
    assert "significantly worse by 2, most by size (−10.00 [−12.00, −8.00], p = 0.0010)" in inter


def test_a_correction_of_one_dataset_alone_is_told_by_its_title():
    more = cell("photos")
    fewer = replace(more, dataset="world", comparisons=None, metrics={
        key: value for key, value in more.metrics.items() if "+" not in key
    })  # fmt: skip
    assert sentences(fewer, more)[2].startswith(
        "Of 2 corrections, pca is best for image retrieval: +2.00 points"
    )
