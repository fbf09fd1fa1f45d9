"""Features of two real backbones, imported and evaluated, side by side on the page."""

from __future__ import annotations

import numpy as np
import pytest

from crossgap.evaluation import Cell, Evaluation, evaluate
from crossgap.importing import Assignment, import_features
from crossgap.report import Results, render

FLICKR, COCO = ("ViT-B/32", "flickr8k"), ("ViT-B/16", "coco")


@pytest.fixture(scope="module")
def evaluated(real, tmp_path_factory) -> dict[tuple[str, str], Evaluation]:
    folder = tmp_path_factory.mktemp("imports")
    pairs, coco = real / "clip-vit-b32/flickr8k_100x5.npz", real / "clip-vit-b16/coco_val2017_500.npz"
    stored = np.load(pairs)
    ids, first = np.unique(stored["image_ids"], return_index=True)
    np.savez(folder / "images.npz", features=stored["image_features"][first], ids=ids)
    (folder / "ids.txt").write_text("".join(f"pair {row}\n" for row in range(500)))
    given = {
        FLICKR: (
            f"image/test={folder}/images.npz:features",
            f"image/test:id={folder}/images.npz:ids",
            f"text/test={pairs}:text_features",
            f"text/test:group={pairs}:image_ids",
        ),
        COCO: (
            f"image/test={coco}:image_features",
            f"image/test:id={folder}/ids.txt",
            f"text/test={coco}:text_features",
            f"text/test:group={folder}/ids.txt",
        ),
    }
    found = {}
    for (backbone, dataset), words in given.items():
        native = import_features(
            list(map(Assignment.parse, words)),
            folder / dataset / "native.zarr.zip",
            backbone=backbone,
            dataset=dataset,
            scratch=folder / "scratch",
        )
        cell = Cell(native, None, None, "test", "test")
        found[backbone, dataset] = evaluate(cell, corrections=[], resamples=99)
    return found


@pytest.fixture(scope="module")
def html(evaluated) -> str:
    tables = ("clouds", "similarities", "histograms", "shifts", "spectrum")
    return render(
        [
            Results(*names, found.metrics, **{table: getattr(found, table) for table in tables})
            for names, found in evaluated.items()
        ]
    )


def test_both_stand_in_the_table_of_gap_measures(parse, html, evaluated):
    page = parse(html)
    found = page.data["gap"]
    titles = [title for title, _ in found["names"]]
    assert [(row[0], row[1]) for row in found["rows"]] == [(0, "native features"), (1, "native features")]
    flickr, coco = (dict(zip(titles, row[2:], strict=True)) for row in found["rows"])
    assert len(titles) >= 10 and None not in {*flickr.values(), *coco.values()}
    known = {
        "centroid distance": 0.851,
        "alignment": 1.380,
        "uniformity, images": -1.795,
        "uniformity, texts": -1.841,
    }
    for name, value in known.items():
        assert coco[name] == pytest.approx(value, abs=0.002)
    for names, row in ((FLICKR, flickr), (COCO, coco)):
        gap = evaluated[names].metrics
        for name, key in (
            ("relative modality gap", "relative_modality_gap"),
            ("matching distance", "matching_distance"),
        ):
            assert row[name] == pytest.approx(gap[f"gap/{key}"], rel=1e-4)
    assert "Other numbers" not in page.titles


def test_both_have_a_curve_and_a_spectrum(parse, html, evaluated):
    lines = [block for block in parse(html).blocks if block["kind"] == "lines"]
    assert len([block for block in lines if block["over"] == "principal components"]) == 2
    shifts = [block for block in lines if block["over"] == "shift"]
    for block, names in zip(shifts, (FLICKR, COCO), strict=True):
        (panel,) = [panel for panel in block["panels"] if panel["title"] == "across, recall@1"]
        for line in panel["lines"]:
            recall = evaluated[names].metrics[f"retrieval/{line['name']}/group/recall@1"]
            assert line["y"][line["x"].index(0)] == pytest.approx(100 * recall, rel=1e-4)
    assert evaluated[FLICKR].metrics["retrieval/text-image/group/recall@1"] == pytest.approx(
        0.832, abs=0.0002
    )
