"""An import, shared by the real DVC: tracked from the start, kept by experiments, cloned and pulled."""

from __future__ import annotations

import copy
import os

import numpy as np
import pytest

PULL = "`dvc pull data/imports/tiny.dvc` brings it"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def imported(project, tmp_path_factory):
    """The project with an import alone, as `crossgap import` leaves it, and what the command said."""
    folder = tmp_path_factory.mktemp("source")
    watching = project.environment["PYTHONPATH"]
    project.environment["PYTHONPATH"] = os.pathsep.join([watching, str(project.folder)])
    labelled = {"backbone": "unknown", "dataset": "tiny", "retrieval": {"query": "test", "gallery": "test"}}
    project.edit(run=project.run_of(imports=["tiny"]), imports={"tiny": labelled})
    project.dvc("remote", "add", "-d", "shared", str(folder / "remote"))
    project.commit()
    features = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    np.savez(folder / "tiny.npz", features=features, labels=np.arange(12) % 3)
    of = f"{folder / 'tiny.npz'}"
    return project, project.crossgap(
        "import", "tiny", f"image/test={of}:features", f"image/test:label.class={of}:labels"
    )


def test_an_import_is_tracked_and_what_to_commit_is_said(imported) -> None:
    project, printed = imported
    assert "data/imports/tiny.dvc is added to git: commit it, and `dvc push` shares the store" in printed
    said = project.command("git", "status", "--porcelain", "--untracked-files=all").splitlines()
    assert "A  data/imports/tiny.dvc" in said and not [line for line in said if "zarr.zip" in line]


def test_an_experiment_keeps_a_store_that_was_just_imported(imported) -> None:
    project, _ = imported
    store = project / "data/imports/tiny/native.zarr.zip"
    whole = store.read_bytes()
    project.dvc("exp", "run", "-S", "evaluate.draws=3")
    assert store.read_bytes() == whole


def test_a_clone_is_told_to_pull_and_then_evaluates(imported, tmp_path) -> None:
    project, _ = imported
    project.commit()
    project.dvc("push", "data/imports/tiny.dvc")
    project.command("git", "clone", "-q", str(project.folder), str(tmp_path / "clone"))
    clone = copy.copy(project)
    clone.folder = tmp_path / "clone"
    clone.environment = {**project.environment, "PYTHONPATH": str(clone.folder)}
    assert PULL in clone.stage("resolve", ok=False)
    assert PULL in clone.crossgap("check", ok=False)
    clone.dvc("pull", "data/imports/tiny.dvc")
    clone.crossgap("check")
    clone.repro()
    assert clone.metrics("imports/tiny") == project.metrics("imports/tiny")
    (clone / "data/imports/tiny.dvc").unlink()
    (clone / "data/imports/tiny/native.zarr.zip").unlink()
    assert "`crossgap import tiny …` makes it" in clone.crossgap("check", ok=False)
