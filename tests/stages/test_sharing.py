"""Several clones of one project, on the real DVC and the real resolving, with the work of all other stages replaced.

The commands of data/README.md run here as they stand, but for the places that they name.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from crossgap.params.sections import Machine

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "data/README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
FOLDER, SSH, S3, PUSH, TAKE, SIDE, CACHE, PULL, URL, ALONE, *_ = BLOCKS
STORE = "data/features/nano/world/native.zarr.zip"
pytestmark = pytest.mark.slow

PHOTOS = {"layout": "imagefolder", "root": "kinds", "retrieval": {"query": "test"}}


def datasets(project) -> dict:
    return yaml.safe_load((project / "params.yaml").read_text())["datasets"] or {}


def add_dataset(project, name: str) -> None:
    project.edit("datasets", {**datasets(project), name: PHOTOS})
    run = yaml.safe_load((project / "params.yaml").read_text())["run"]
    project.edit("run.datasets", [*run["datasets"], name])


def run(project, block: str, places: dict[str, str] | None = None) -> str:
    """All lines of a block, with other places in the stead of those that it names."""
    for place, here in (places or {}).items():
        assert place in block
        block = block.replace(place, here)
    return "".join(project.command(*shlex.split(line)) for line in block.splitlines())


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
    run(made, FOLDER, {"/mnt/team": str(folder)})
    made.commit()
    run(made, PUSH)
    return made


def test_a_clone_that_takes_the_outputs_runs_nothing(first, tmp_path):
    """A commit means one result in every clone."""
    there = first.cloned(tmp_path / "clone")
    assert "Running stage" not in run(there, TAKE)
    assert (there / STORE).is_file()
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
    run(here, SIDE)
    add_dataset(here, "photos")
    assert here.repro() <= {"resolve", "report"}, "DVC's cache has what both branches computed"
    assert Path(here / "data/metrics/nano/photos/metrics.json").is_file()
    here.commit("merged")
    assert here.repro() == set()


def test_a_cell_or_a_store_is_taken_alone(first, tmp_path) -> None:
    there = first.cloned(tmp_path / "clone")
    cell, store, evaluated = PULL.splitlines()
    run(there, store)
    assert [path.name for path in (there / "data/features").rglob("*.zip")] == ["native.zarr.zip"]
    run(there, cell)
    assert {path.name for path in (there / "data/features").rglob("*.zip")} == {
        "native.zarr.zip",
        "oti.zarr.zip",
    }
    assert (there / "data/datasets/world").is_dir() and not (there / "data/metrics/nano").exists()
    run(there, evaluated)
    assert (there / "data/metrics/nano/world/metrics.json").is_file()
    url = run(there, URL).split()[-1]
    assert Path(url).read_bytes() == (there / STORE).read_bytes()


def test_a_cell_is_evaluated_from_its_stores_alone(first, tmp_path) -> None:
    there = first.cloned(tmp_path / "clone")
    stores = [str(path.relative_to(first.folder)) for path in (first / "data/features/nano").rglob("*.zip")]
    there.command("dvc", "pull", *stores)
    there.edit("evaluate.corrections", ["centering"])
    assert "evaluate@nano-world" in run(there, ALONE)
    assert (there / "data/metrics/nano/world/metrics.json").is_file()
    assert not (there / "data/datasets").exists() and not (there / "data/weights").exists()


def test_a_cache_is_shared_by_links_that_no_stage_writes_into(first, tmp_path) -> None:
    """Two clones link to the same files; one runs something else, and the other's outputs stay as they are."""
    one, other = (first.cloned(tmp_path / name) for name in ("one", "other"))
    for clone in (one, other):
        run(clone, CACHE, {"/mnt/shared": str(tmp_path)})
    held = [clone / STORE for clone in (one, other)]
    assert held[0].stat().st_ino == held[1].stat().st_ino and not held[0].stat().st_mode & 0o222
    before = {path: path.read_bytes() for path in (other / "data").rglob("*") if path.is_file()}
    one.edit("oti.steps", 77)
    assert "oti@nano-world" in one.repro()
    one.edit("evaluate.resamples", 777)
    assert "evaluate@nano-world" in one.repro()
    assert {path: path.read_bytes() for path in before} == before
    assert "up to date" in other.command("dvc", "status")


@pytest.mark.parametrize(
    ("block", "said"), [(SSH, "keyfile = "), (S3, "endpointurl = https://s3.example.org")]
)
def test_a_remote_over_a_network_is_declared(first, tmp_path, block, said) -> None:
    """What is pushed there is in test_remotes.py."""
    there = first.cloned(tmp_path / "clone")
    there.command("dvc", "remote", "remove", "team")
    run(there, block)
    config = (there / ".dvc/config").read_text() + (there / ".dvc/config.local").read_text() * (block == SSH)
    assert "remote = team" in config and said in config


def test_the_settings_of_many_machines_are_known() -> None:
    (settings,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    machine = Machine.model_validate(yaml.safe_load(settings)["machine"])
    assert (machine.engine, machine.ray.workers, machine.ray.patience) == ("ray", 8, 600)


def test_every_command_of_the_prose_is_known() -> None:
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    known = {"crossgap status", "crossgap verify", "crossgap clean --dry-run", "dvc gc"}
    known |= {"pip install 'dvc[ssh]'", "pip install 'dvc[s3]'", "pip install 'crossgap[ray]'"}
    assert set(re.findall(r"`((?:crossgap|dvc|git|pip|pytest) [^`]+)`", prose)) == known
    for path in re.findall(r"`((?:tests|findings)/[^`]+)`", prose):
        assert (ROOT / path).is_file()
