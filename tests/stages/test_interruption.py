"""Interruptions of the pipeline on the real DVC: `dvc repro` is killed, and the next one simply goes on."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PLAIN = True  # processes as users start them
STAGE = {"oti": "oti@nano-world", "ovi": "ovi@nano-world"}
LONG = {
    "datasets.world.images": {"train": 2, "test": 24},
    "oti.steps": 40,
    "ovi.steps": 25,
    "run.sweep.datasets": [],
    "run.seeds.datasets": [],
    "machine.inversion_batch_size": 2,
}


@pytest.fixture(scope="module")
def undisturbed(project) -> dict[str, bytes]:
    """The stores of a run that nothing disturbs; they and what they were made of are gone again."""
    project.edit(**LONG)
    project.dvc("repro", *STAGE.values())
    paths = {name: project / f"data/features/nano/world/{name}.zarr.zip" for name in STAGE}
    stores = {name: path.read_bytes() for name, path in paths.items()}
    for name in STAGE:
        forget(project, name)
    return stores


def forget(project, name: str) -> None:
    """Nothing is left of a stage: no store, no shards, no memory of a run."""
    project.command("rm", "-rf", f"data/scratch/{name}", f"data/features/nano/world/{name}.zarr.zip")
    project.command("rm", "-rf", ".dvc/cache/runs")
    (project / f"stages/{name}/dvc.lock").unlink(missing_ok=True)  # of this cell alone


def shards_of(project, name: str) -> dict[Path, int]:
    found = (project / f"data/scratch/{name}").glob("*/*.safetensors")
    return {path: path.stat().st_mtime_ns for path in found}


def start(project, name: str) -> subprocess.Popen:
    """`dvc repro` of a stage, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", project.address(STAGE[name])],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until_a_shard_is_new(project, name: str, run: subprocess.Popen) -> None:
    old = shards_of(project, name)
    while shards_of(project, name).keys() <= old.keys():
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.005)


def process_of(script: str, folder: Path) -> int:
    """The python that runs a script in a folder, and not the shell around it."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words[1:3] == [b"-m", script.encode()] and (entry / "cwd").resolve() == folder.resolve():
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError(f"no process runs {script}")


def went_on(project, name: str, printed: str, survived: dict[Path, int], whole: bytes) -> None:
    """The run took up every shard that survived, and made the store of an undisturbed run."""
    held = [int(done) for done in re.findall(rf"{name}[^\n]*: (\d+) of \d+ items are there", printed)]
    assert bool(held) == bool(survived), (
        f"it must start from the shards that were done, and say so:\n{printed}"
    )
    assert survived.items() <= shards_of(project, name).items(), "a whole shard was made again"
    assert not list((project / "data").rglob("*.tmp"))
    assert (project / f"data/features/nano/world/{name}.zarr.zip").read_bytes() == whole
    assert project.repro(STAGE[name]) == set()


def test_killed_with_dvc_alone_and_damaged_the_stage_goes_on(project, undisturbed) -> None:
    """The whole process group at a random moment, then the stage's own process, then two shards on the disk."""
    killed_together(project, "oti", signal.SIGKILL, random.Random(0).uniform(0, 0.3))
    run = start(project, "oti")
    until_a_shard_is_new(project, "oti", run)
    os.kill(process_of("stages.oti", project.folder), signal.SIGKILL)
    assert re.search(r"exited with (-9|137)", run.communicate(timeout=60)[0])
    whole = shards_of(project, "oti")
    first, second = sorted(whole)[:2]
    first.write_bytes(first.read_bytes()[:-100])
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 4
    second.write_bytes(content)
    printed = project.dvc("repro", STAGE["oti"])
    for thrown in (first, second):
        assert f"threw away {thrown.relative_to(project.folder)}" in printed
    survived = {path: when for path, when in whole.items() if path not in (first, second)}
    went_on(project, "oti", printed, survived, undisturbed["oti"])


def test_ended_by_a_scheduler_and_orphaned_the_stage_goes_on(project, undisturbed) -> None:
    """SIGTERM to the whole process group, at its start and later, then to the stage; then DVC is killed alone."""
    rng = random.Random(0)
    killed_together(project, "ovi", signal.SIGTERM, rng.uniform(0, 0.3))
    run = start(project, "ovi")
    time.sleep(rng.uniform(0, 5))
    os.killpg(run.pid, signal.SIGTERM)
    run.communicate(timeout=60)
    run = start(project, "ovi")
    until_a_shard_is_new(project, "ovi", run)
    os.kill(process_of("stages.ovi", project.folder), signal.SIGTERM)
    printed = run.communicate(timeout=60)[0]
    assert "143" in printed and "Traceback" not in printed and run.returncode
    assert not list((project / "data").rglob("*.tmp"))
    run = start(project, "ovi")
    until_a_shard_is_new(project, "ovi", run)
    run.kill()
    run.wait()
    survived = shards_of(project, "ovi")
    printed = project.dvc("repro", STAGE["ovi"])  # beside the orphan, which ends soon
    run.communicate(timeout=60)
    went_on(project, "ovi", printed, survived, undisturbed["ovi"])


def test_of_two_runs_at_once_one_is_told_to_wait_and_the_result_is_right(project, undisturbed) -> None:
    """DVC's lock lets the stages of one run at a time; whichever comes second says so, or finds all done."""
    forget(project, "oti")
    runs = [start(project, "oti"), start(project, "oti")]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert any(run.returncode == 0 for run in runs), said
    for run, printed in zip(runs, said, strict=True):
        assert run.returncode == 0 or "lock" in printed.lower(), printed
    project.dvc("repro", STAGE["oti"])
    assert (project / "data/features/nano/world/oti.zarr.zip").read_bytes() == undisturbed["oti"]
    assert not list((project / "data").rglob("*.tmp"))


def killed_together(project, name: str, number: int, after: float) -> None:
    """`dvc repro`, ended with all that it started, some seconds after its first shard."""
    run = start(project, name)
    until_a_shard_is_new(project, name, run)
    time.sleep(after)
    os.killpg(run.pid, number)
    run.communicate(timeout=60)
    assert run.returncode
