from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow


def test_weights_are_noted_as_they_lie_there_also_where_a_run_comes_back(project) -> None:
    """The run cache would give what was noted of a run before, and with it the numbers of other weights."""
    row = {"weights": {"model": "local-dir:tiny"}, "oti": {"tokens": 2}, "ovi": {"patches": 4}}
    one = project.run_of(backbones=["tiny"], datasets=["world"])
    both = project.run_of(backbones=["tiny", "nano"], datasets=["world"])
    project.edit(**{"backbones.tiny": row, "run": one})
    note, file = project / "data/weights/tiny.json", project / "tiny/open_clip_model.safetensors"
    assert project.repro("weights") == {"resolve", "weights"}
    before = json.loads(note.read_text())["files"]

    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    project.edit(run=both)
    assert project.repro("weights") == {"resolve", "weights"}
    now = json.loads(note.read_text())["files"]
    assert now != before and (project / "data/weights/nano.json").is_file()

    project.edit(run=one)
    assert project.repro("weights") == {"resolve", "weights"}
    assert json.loads(note.read_text())["files"] == now
    assert not (project / "data/weights/nano.json").exists(), "run no longer names it"
