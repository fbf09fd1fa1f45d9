"""Published figures beside measured ones, with the real table that the project ships."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from crossgap.report import Results, render
from crossgap.report.published import _judged_by, dataset_key, model_key

ROOT = Path(__file__).parents[2]
PUBLISHED = pd.read_csv(ROOT / "data" / "reference" / "published.csv")
B32 = {"backbone_provenance": {"model": "ViT-B-32-quickgelu", "pretrained": "openai"}}
HEADING = ["task", "relevance", "metric", "measured", "published", "difference", "source", "protocol"]


def cell(backbone="openai-b32", dataset="dtd", metrics=None, provenance=B32, **changes) -> Results:
    tasks = {"image-image": 0.2897, "oti-image": 0.3195, "image-image+pca_plus": 0.34}
    measured = {f"retrieval/{task}/class/mAP": value for task, value in tasks.items()}
    splits = {"query": "test", "gallery": "val"}
    return Results(backbone, dataset, metrics or measured, provenance=provenance, **splits | changes)


def rows(parse, given: Results, published=PUBLISHED) -> list[list[str]]:
    page = parse(render([given], published))
    found = [table for caption, table in page.tables if caption.startswith("Measured beside published")]
    if not found:
        assert "Measured beside published" not in page.titles
        return []
    ((heading, *shown),) = found
    assert heading == HEADING
    return shown


@pytest.mark.parametrize(
    "made",
    [
        cell(),
        cell("ViT-B/32 openai", "dtd (import b32)", provenance={}, published="dtd"),
        cell("openai/ViT-B-32", "Describable Textures", provenance={"kind": "import"}),
    ],
    ids=["from open_clip", "import", "as published"],
)
def test_openai_b32_on_dtd(parse, made):
    splits = "published: query test, gallery train; here: query test, gallery val"
    source = "2603.16100 Table 3"
    assert rows(parse, made) == [
        ["image-image", "class", "mAP", "28.97", "28.30", "+0.67", source, splits],
        ["OTI-image", "class", "mAP", "31.95", "31.90", "+0.05", source, splits],
        ["image-image, pca_plus", "class", "mAP", "34.00", "34.00", "±0.00", source, splits],
    ]


def test_every_published_dataset_but_averages_is_found_for_its_model(parse):
    """Whatever image-to-image row of the table: a cell of its names has it, with its value."""
    of_dataset = PUBLISHED[
        (PUBLISHED["task"] == "image-to-image") & ~PUBLISHED["dataset"].str.startswith("average")
    ]
    assert len(of_dataset) > 150
    for (model, dataset), found in of_dataset.groupby(["model", "dataset"]):
        names = [name if "-" in name else f"image-image+{name}" for name in found["method"]]
        metrics = {f"retrieval/{name}/class/mAP": 0.5 for name in names}
        shown = rows(parse, cell(model, dataset, metrics, provenance={}))
        assert [float(row[4]) for row in shown] == pytest.approx(list(found["value"])), (model, dataset)


@pytest.mark.parametrize("backbone", ["slip-b16", "mine"])
def test_released_weights_that_are_called_otherwise_have_their_figures(parse, backbone):
    folder = "data/raw/slip"
    slip = {"model": "SLIP-ViT-B-16", "pretrained": f"{folder}/slip_base_100ep.pt"}
    shown = rows(parse, cell(backbone, provenance={"backbone_provenance": slip}))
    assert [row[4] for row in shown] == ["29.70", "30.50", "32.20"]
    clip = {"backbone_provenance": {**slip, "pretrained": f"{folder}/clip_base_25ep.pt"}}
    assert rows(parse, cell("slip-clip-b16", provenance=clip)) == []
    dino = {"backbone_provenance": {"model": "timm:vit_large_patch16_dinov3.lvd1689m", "pretrained": None}}
    few = {"classification/2-shot/class/accuracy": 0.5, "classification/2-shot-gda/class/accuracy": 0.5}
    shown = rows(parse, cell(backbone.replace("slip-b16", "dinov3-l16"), "dtd", few, dino), EXTRA)
    assert sorted(row[4] for row in shown) == ["54.33", "57.55"]


@pytest.mark.parametrize(
    "other",
    [
        cell(provenance={"backbone_provenance": {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"}}),
        cell(provenance={"backbone_provenance": {"model": "ViT-B-16-quickgelu", "pretrained": "openai"}}),
        cell(dataset="world"),
        cell(dataset="average13"),
        cell(metrics={"retrieval/image-image/class/recall@1": 0.5}),
        cell(metrics={"retrieval/image-image/class/mAP": float("nan")}),
    ],
    ids=["other weights", "other model", "other dataset", "an average", "not measured", "not a number"],
)
def test_what_does_not_match_is_not_there(parse, other):
    assert rows(parse, other) == []


def test_same_and_other_protocols_are_told_apart(parse):
    assert rows(parse, cell(gallery="train"))[0][-1] == "same splits"
    unknown = "published: query test, gallery train; here: not recorded"
    assert rows(parse, cell(gallery=None))[0][-1] == unknown
    assert rows(parse, cell(dataset="roxford5k"))[0][3:5] == ["28.97", "42.40"]
    assert rows(parse, cell(dataset="roxford5k"))[0][-1] == "published: the dataset's own queries and gallery"
    dogs = cell("openai/ViT-B-16", "dogs_vs_cats", provenance={})
    assert rows(parse, dogs)[0][-1] == "published splits not known here"
    tuned = rows(parse, cell("openai/ViT-B-32 fine-tuned on COCO", "stanford_cars", provenance={}))
    assert [row[-1].partition(";")[0] for row in tuned[::2]] == ["temperature=1.0", "temperature=0.01"]


def test_classification_compares_the_queries_alone(parse):
    row = {"source": "x", "model": "openai/ViT-B-32", "dataset": "DTD", "setting": None, "value": 43.0}
    table = pd.DataFrame(
        [
            row | {"task": "zero-shot", "method": "image-text", "metric": "accuracy"},
            row | {"task": "zero-shot", "method": "cua", "metric": "accuracy"},
            row | {"task": "text-to-text", "method": "isoclip", "metric": "mAP"},
        ]
    )
    metrics = {
        "classification/image-text/class/accuracy": 0.44,
        "classification/image-text/other/accuracy": 0.9,
        "retrieval/text-text+isoclip/group/mAP": 0.4,
        "retrieval/text-text+isoclip/class/mAP": 0.8,
    }
    assert [row[:6] + row[7:] for row in rows(parse, cell(metrics=metrics), table)] == [
        ["image-text", "class", "accuracy", "44.00", "43.00", "+1.00", "same splits"],
        [
            "text-text, isoclip", "group", "mAP", "40.00", "43.00", "−3.00",
            "published: query test, gallery train; here: query test, gallery val",
        ],
    ]  # fmt: skip


EXTRA = pd.read_csv(ROOT / "data" / "reference" / "published_extra.csv")


def test_zero_shot_recall_and_few_shot_of_the_second_table(parse):
    metrics = {
        "classification/image-text/class/accuracy": 0.44,
        "classification/image-text/class/mean_per_class_recall": 0.4,
    }
    shown = rows(parse, cell(metrics=metrics), EXTRA)
    assert shown[0][2:6] == ["accuracy", "44.00", "44.26", "−0.26"]
    assert shown[0][-1] == "VTAB test split; same splits"
    across = {f"retrieval/{task}/group/recall@5": 0.5 for task in ("text-image", "image-text")}
    shown = rows(parse, cell(dataset="coco", metrics=across), EXTRA)
    assert [(row[0], row[4]) for row in shown] == [("text-image", "55.85"), ("image-text", "74.82")]
    names = [
        "2-shot_text",
        "2-shot-gda_text",
        "2-shot_text+pca_plus",
        "2-shot-gda_text+pca_plus",
        "2-shot",
        "2-shot-gda",
    ]
    few = {f"classification/{name}/class/accuracy": 0.5 for name in names}
    shown = rows(parse, cell("openai/RN50", "dtd", few, provenance={}), EXTRA)
    assert sorted(row[4] for row in shown) == ["40.86", "41.75", "45.11", "47.73"], "with text alone"
    shown = rows(parse, cell("DINOv3 L/16", "dtd", few, provenance={}), EXTRA)
    assert sorted(row[4] for row in shown) == ["54.33", "57.55"], "without text"


def test_every_row_of_the_second_table_has_its_task(parse):
    assert set(EXTRA.columns) == set(PUBLISHED.columns) and EXTRA["value"].between(0, 100).all()
    for (model, dataset), found in EXTRA[EXTRA["task"] == "few-shot"].groupby(["model", "dataset"]):
        tasks = [f"{shots}-shot{gda}{text}{plus}" for shots in (1, 2, 4, 8, 16) for gda in ("", "-gda")
                 for text in ("", "_text") for plus in ("", "+pca_plus")]  # fmt: skip
        metrics = {f"classification/{task}/class/accuracy": 0.5 for task in tasks}
        shown = rows(parse, cell(model, dataset, metrics, provenance={}), EXTRA)
        assert [float(row[4]) for row in shown] == pytest.approx(list(found["value"])), (model, dataset)


def test_without_a_labelling_class_every_one_stands_beside_the_figure(parse):
    metrics = {f"retrieval/image-image/{name}/mAP": 0.4 for name in ("easy", "medium", "group")}
    shown = rows(parse, cell(dataset="ROxford", metrics=metrics))
    assert [row[1] for row in shown] == ["easy", "medium"]


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("ViT-B-32-quickgelu openai", "openai/ViT-B-32"),
        ("CLIP ViT-B/32 OpenAI", "openai/ViT-B-32"),
        ("ViT-L-14-quickgelu openai", "openai/ViT-L-14"),
        ("ViT-B-16-SigLIP webli", "webli/ViT-B-16-SigLIP"),
        ("ViT-B-32 datacomp_xl_s13b_b90k", "datacomp_xl_s13b_b90k/ViT-B-32"),
    ],
)
def test_models_are_known_however_they_are_written(name, same):
    assert model_key(name) == model_key(same)
    assert model_key(same) in {model_key(model) for model in PUBLISHED["model"]}
    assert model_key(name) != model_key(same + "-336")


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("oxford_flowers", "Flowers"),
        ("flowers102", "Flowers"),
        ("fgvc_aircraft", "Aircraft"),
        ("FGVC-Aircraft", "Aircraft"),
        ("describable textures", "DTD"),
        ("eurosat", "EuroSAT"),
        ("stanford_cars", "Cars"),
        ("oxford_pets", "Pets"),
        ("Oxford-IIIT Pet", "Pets"),
        ("cub_200_2011", "CUB"),
        ("stanford_online_products", "SOP"),
        ("food-101", "Food101"),
        ("caltech-101", "Caltech101"),
        ("sun397", "SUN397"),
        ("UCF-101", "UCF101"),
        ("imagenet", "ImageNet"),
        ("dogs_vs_cats", "dogs-vs-cats"),
        ("roxford5k", "ROxford"),
        ("rparis6k", "RParis"),
    ],
)
def test_datasets_are_known_however_they_are_written(name, same):
    assert dataset_key(name) == dataset_key(same)
    assert same in set(PUBLISHED["dataset"])


def test_texts_among_texts_are_judged_by_their_image_alone():
    for task in ("text-text", "text-image+centering", "ovi-text"):
        assert _judged_by(task, ["class", "group", "shape"]) == ["group"]
    assert _judged_by("oti-image", ["group", "shape"]) == ["shape"]


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="published: no column model, setting"):
        render([cell()], PUBLISHED.drop(columns=["model", "setting"]))
    assert "Measured beside" not in render([cell()])
