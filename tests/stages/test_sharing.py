"""Several clones of one project, on the real DVC and the real resolving, with the work of all other stages replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

PHOTOS = {"layout": "imagefolder", "root": "kinds", "retrieval": {"query": "test"}}


def datasets(project) -> dict:
    return yaml.safe_load((project / "params.yaml").read_text())["datasets"] or {}


def add_dataset(project, name: str) -> None:
    project.edit("datasets", {**datasets(project), name: PHOTOS})
    run = yaml.safe_load((project / "params.yaml").read_text())["run"]
    project.edit("run.datasets", [*run["datasets"], name])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, stubbed):
    """A small run, committed, with a DVC remote beside it."""
    folder = tmp_path_factory.mktemp("shared")
    made = stubbed(folder / "first")
    for place in ("run.backbones", "run.oti.backbones"):
        made.edit(place, ["nano"])
    made.edit("finetune", {})
    made.edit("idealised", {})
    made.repro()
    made.command("dvc", "remote", "add", "-q", "-d", "store", str(folder / "remote"))
    made.commit()
    made.command("dvc", "push", "-q", "--run-cache")
    return made


def test_a_clone_that_takes_the_outputs_runs_nothing(first, tmp_path):
    """A commit means one result in every clone."""
    there = first.cloned(tmp_path / "clone")
    there.command("dvc", "pull", "-q")
    assert "up to date" in there.command("dvc", "status")
    assert there.repro() == set()


def test_what_an_earlier_run_left_is_in_no_clone(first, tmp_path):
    """A sweep that `run` no longer names: the evaluation is that of a clone that never had it."""
    here = first.cloned(tmp_path / "here")
    here.command("dvc", "pull", "-q", "--run-cache")
    here.edit("run.sweep.tokens", [2])
    here.repro()
    here.commit()
    assert not (here / "data/features/nano/world/oti-4.zarr.zip").exists()
    there = here.cloned(tmp_path / "there")
    there.command("dvc", "cache", "dir", "--local", str(here / ".dvc/cache"))
    there.command("dvc", "checkout", "-q")
    assert "up to date" in there.command("dvc", "status")
    assert there.repro() == set()


def test_a_colleague_takes_what_another_has_computed_by_repro_with_pull(first, tmp_path):
    """Also what is in nobody's commit: the run cache knows it. `dvc pull --run-cache` alone brings no outputs."""
    here, there = (first.cloned(tmp_path / name) for name in ("here", "there"))
    here.command("dvc", "pull", "-q", "--run-cache")
    here.edit("oti.steps", 77)
    assert {"resolve", "oti@nano-world"} <= here.repro()
    here.command("dvc", "push", "-q", "--run-cache")
    there.edit("oti.steps", 77)
    assert there.repro("--pull") == {"resolve"}
    assert (there / "data/features/nano/world/oti.zarr.zip").is_file()


def test_two_branches_that_each_added_a_dataset(first, tmp_path):
    """What conflicts: params.yaml and locks. The first is merged by hand; of locks either side will do."""
    here = first.cloned(tmp_path / "here")
    here.command("dvc", "pull", "-q", "--run-cache")
    for name in ("photos", "prints"):
        here.command("git", "checkout", "-q", "-B", name, "origin/HEAD")
        here.command("dvc", "checkout", "-q")
        add_dataset(here, name)
        assert here.repro() >= {"resolve", f"prepare@{name}", f"encode@nano-{name}"}
        here.commit(name)
    here.command("git", "merge", "-q", "photos", ok=False)
    conflicts = here.command("git", "diff", "--name-only", "--diff-filter=U").split()
    assert {path for path in conflicts if not path.endswith("dvc.lock")} == {"params.yaml"}
    assert any(path.endswith("dvc.lock") for path in conflicts)
    here.command("git", "checkout", "-q", "--ours", "--", "params.yaml")
    here.command("git", "checkout", "--ours", "--", "*dvc.lock")
    add_dataset(here, "photos")
    assert here.repro() <= {"resolve", "report"}, "DVC's cache has what both branches computed"
    assert Path(here / "data/metrics/nano/photos/metrics.json").is_file()
    here.commit("merged")
    assert here.repro() == set()
