"""Outputs may be links into a cache that others share: what a stage writes takes their place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from crossgap.planning import resolve
from stages.common import emptied, write_json

LINKS = pytest.mark.parametrize("link", [Path.hardlink_to, Path.symlink_to])


@LINKS
@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_json(path, {"a": 2}),
        lambda path: resolve.write({path.name: {"a": 2}}, path.parent),
    ],
)
def test_a_file_takes_the_place_of_a_link(tmp_path, link, write) -> None:
    cached, path = tmp_path / "cached", tmp_path / "out" / "file.json"
    cached.write_text("shared")
    path.parent.mkdir()
    link(path, cached)
    write(path)
    assert cached.read_text() == "shared" and '"a": 2' in path.read_text()
    assert list(path.parent.iterdir()) == [path] and not path.is_symlink()


@LINKS
def test_a_folder_is_emptied_of_links(tmp_path, link) -> None:
    cached, folder = tmp_path / "cached", tmp_path / "out"
    cached.write_text("shared")
    folder.mkdir()
    link(folder / "file.json", cached)
    assert emptied(folder) == folder and list(folder.iterdir()) == []
    assert cached.read_text() == "shared"
    assert emptied(tmp_path / "more" / "folders").is_dir()


def test_a_folder_that_is_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    (elsewhere / "file.json").write_text("shared")
    folder.symlink_to(elsewhere)
    write_json(emptied(folder) / "file.json", {})
    assert (elsewhere / "file.json").read_text() == "shared" and not folder.is_symlink()


@pytest.mark.parametrize("by_dvc", [True, False])
def test_a_stage_ends_with_the_dvc_that_started_it(tmp_path, by_dvc) -> None:
    """It would go on beside the next run, and write the output of settings that are no longer asked for."""
    stage = """if True:
        import time
        from pathlib import Path
        from stages.common import guarded

        def work():
            try:
                Path("begun").touch()
                time.sleep(60)
            finally:
                Path("ended").touch()

        guarded("oti", work)"""
    starts = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {stage!r}])"
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2])} | ({"DVC_STAGE": "oti"} if by_dvc else {})
    dvc = subprocess.Popen([sys.executable, "-c", starts], cwd=tmp_path, env=environment)
    try:
        _until(lambda: (tmp_path / "begun").exists(), 60)
        (child,) = psutil.Process(dvc.pid).children()
    finally:
        dvc.kill()
        dvc.wait()
    try:
        _until(lambda: (tmp_path / "ended").exists(), 20 if by_dvc else 2)
        assert (tmp_path / "ended").exists() == by_dvc
    finally:
        if child.is_running():
            child.send_signal(signal.SIGKILL)


def _until(told: Callable[[], bool], seconds: float) -> None:
    """Until it is, or these seconds are over."""
    end = time.monotonic() + seconds
    while not told() and time.monotonic() < end:
        time.sleep(0.05)
