"""Any two modalities: names of an import in tables and page, and real clouds of videos, proteins and texts."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from crossgap import naming, open_store
from crossgap.cli import app
from crossgap.evaluation import Cell, evaluate
from crossgap.importing import Assignment, FeatureImportError, import_features
from crossgap.report import Results, render
from crossgap.report.results import in_roles


def imported(folder, first, second, names=("protein", "text"), paired=True, **more):
    np.savez(folder / "x.npz", first=first, second=second, **more)
    words = [
        f"{name}/test={folder / 'x.npz'}:{key}" for name, key in zip(names, ("first", "second"), strict=True)
    ]
    words += [f"{key.replace('_', '/')}={folder / 'x.npz'}:{key}" for key in more]
    given = [Assignment.parse(word) for word in words]
    made = {"backbone": "b", "dataset": "d", "scratch": folder / "scratch", "paired": paired}
    return import_features(given, folder / "store.zip", **made)


def test_the_same_files_paired_are_another_store(tmp_path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 4))
    paired, apart = (
        imported(tmp_path, x, x + 1, ("image", "text"), held).provenance["fingerprint"]
        for held in (True, False)
    )
    assert paired != apart


def measured(store):
    cell = Cell(store, None, None, "test", "test")
    few = {"shares": [0, 1], "alphas": [0.5], "draws": 1}
    return evaluate(cell, corrections=["centering"], resamples=99, mixed_search=few, logistic="none")


@pytest.fixture(scope="module")
def proteins(tmp_path_factory):
    rng = np.random.default_rng(0)
    first = rng.normal(size=(20, 6))
    return imported(tmp_path_factory.mktemp("x"), first, first + rng.normal(size=(20, 6)) + 1)


@pytest.fixture(scope="module")
def found(proteins):
    return measured(proteins)


def test_tables_have_the_names(proteins, found):
    assert proteins.modalities == {"image": "protein", "text": "text"}
    assert proteins["image/test"].ids[0] == "protein/test/0" == proteins["text/test"]["group"][0]
    assert {"protein-text", "text-protein"} == {
        key.split("/")[1] for key in found.metrics if key.startswith("retrieval/") and "+" not in key
    }
    assert "gap/uniformity_protein" in found.metrics and "items/protein/test" in found.metrics
    assert "mixed/distractors/half/first_protein" in found.metrics
    assert set(found.clouds["modality"]) == {"protein", "text"}
    assert "text-protein+centering" in set(found.comparisons["task"])
    assert not [key for key in found.metrics if "image" in key]
    why = found.unavailable.set_index("name")["reason"]
    assert not [name for name in why.index if "image" in name]
    assert why["search"] == "no protein has two captions, one to ask and one to be found"
    for name in ("oti", "ovi", "prompts"):
        assert "tower" in why[name] and "protein and text features were imported, without towers" in why[name]


def test_the_page_has_the_names_too(proteins, found, page_text, tmp_path):
    names = proteins.modalities
    metrics = {naming.key_called(key, names, back=True): value for key, value in found.metrics.items()}
    assert (
        "retrieval/image-text/group/recall@1" in metrics and "mixed/distractors/half/first_image" in metrics
    )
    tables = (
        "clouds",
        "comparisons",
        "corrections",
        "similarities",
        "histograms",
        "mixed",
        "unavailable",
        "spectrum",
    )
    held = {name: in_roles(getattr(found, name), names) for name in tables}
    (tmp_path / "page.html").write_text(
        render([Results("b", "d", metrics, modalities=names, **held)]), encoding="utf-8"
    )
    said = page_text(tmp_path / "page.html")
    assert "protein-text" in said and "the means of protein and text features lie" in said
    assert '"image-text' not in said and '"text-image' not in said


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["video", "text"], {"image": "video", "text": "text"}),
        (["text", "video"], {"image": "video", "text": "text"}),
        (["audio", "image"], {"image": "image", "text": "audio"}),
        (["rna", "protein"], {"image": "rna", "text": "protein"}),
        (["text"], {"image": "image", "text": "text"}),
    ],
)
def test_roles(names, expected):
    assert naming.roles(names) == expected


def test_names_and_back():
    names = {"image": "rna", "text": "protein"}
    for key in (
        "retrieval/image-text+centering@far/image/mAP",
        "gap/nearest_other_image",
        "mixed/search/0.5/first_image",
    ):
        there = naming.key_called(key, names)
        assert naming.key_called(there, names, back=True) == key != there
    assert naming.key_called("retrieval/text-image/image/mAP", names) == "retrieval/protein-rna/image/mAP"


@pytest.mark.parametrize(
    ("names", "sizes", "message"),
    [
        (("rna", "protein"), (3, 2), "rna/test has 3 rows and protein/test 2"),
        (("oti", "text"), (3, 3), "no modality can be called 'oti'"),
    ],
)
def test_what_cannot_be_imported(tmp_path, names, sizes, message):
    with pytest.raises(FeatureImportError, match=message):
        imported(tmp_path, *(np.ones((size, 2)) for size in sizes), names=names)


def test_three_modalities_and_pairs_given_twice(tmp_path):
    rows = np.ones((3, 2))
    with pytest.raises(FeatureImportError, match="rna, text, audio are 3 modalities"):
        imported(tmp_path, rows, rows, ("rna", "text"), audio_test=rows)
    with pytest.raises(FeatureImportError, match="or the same of another modality"):
        Assignment.parse("Protein Sequence/test=x.npy")


def test_the_command(tmp_path, monkeypatch, real):
    monkeypatch.chdir(tmp_path)
    file = real / "gap" / "clasp.npz"
    words = ["import", "clasp", "--paired", f"protein/test={file}:first", f"text/test={file}:second"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "protein/test: 99 items, width 768" in done.output
    assert open_store(tmp_path / "data/imports/clasp/native.zarr.zip").modalities["image"] == "protein"


# ../shared/real/values.md, the new gap files, raw: centroid distance, alignment, both uniformities, IMR, TMR, R@1
VALUES = {
    "videoclip": ("video", 1.066891, 1.816950, -1.210062, -1.930989, 100.0, 100.0, 0.37, 0.24),
    "clasp": ("protein", 1.044664, 1.760795, -1.346928, -0.961093, 96.626, 98.889, 0.0303, 0.0),
}


@pytest.mark.parametrize("name", VALUES)
def test_real_values(tmp_path, real, name):
    held = np.load(real / "gap" / f"{name}.npz")
    of, *values = VALUES[name]
    metrics = measured(imported(tmp_path, held["first"], held["second"], (of, "text"))).metrics
    keys = ("centroid_distance", "alignment", f"uniformity_{of}", "uniformity_text", "imr", "tmr")
    found = [metrics[f"gap/{key}"] for key in keys]
    found += [metrics[f"retrieval/{task}/group/recall@1"] for task in (f"{of}-text", f"text-{of}")]
    for one, value in zip(found, values, strict=True):
        assert one == pytest.approx(value, abs=6e-4 if abs(value) > 50 else 5e-5)
