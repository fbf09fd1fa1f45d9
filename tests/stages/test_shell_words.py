"""A name in params.yaml is a word of a command of dvc.yaml: none can bring words of a shell along.

DVC puts names into commands before anything of ours runs. What stops them is the first stage, that refuses such names:
no cell runs after it. `dvc repro -s -f`, which forces one stage whatever is missing, is DVC's own way past that.
"""

from __future__ import annotations

import pytest
import yaml

pytestmark = pytest.mark.slow
EVIL = [
    "world; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "a\ntouch pwned",
    "a && touch pwned",
    "|touch pwned",
]


@pytest.fixture(scope="module")
def project(tmp_path_factory, stubbed):
    return stubbed(tmp_path_factory.mktemp("shell") / "project")


@pytest.mark.parametrize("place", ["datasets", "imports"])
def test_no_word_of_a_name_is_run(project, place) -> None:
    """All at once, under DVC as a whole and at each cell by itself, past the stage that checks params.yaml."""
    before = (project / "params.yaml").read_text()
    params = yaml.safe_load(before)
    rows = {
        "datasets": {"layout": "imagefolder", "root": "kinds", "retrieval": {"query": "test"}},
        "backbones": {"weights": {"model": "local-dir:tiny"}, "oti": {"tokens": 1}, "ovi": {"patches": 1}},
        "imports": {"backbone": "b", "dataset": "d", "retrieval": {"query": "test", "gallery": "test"}},
    }
    project.edit(place, {**(params.get(place) or {}), **dict.fromkeys(EVIL, rows[place])})
    project.edit(f"run.{place}", EVIL)
    try:
        said = project.command("crossgap", "check", ok=False)
        assert "a name is made of letters, digits, - and _" in said and "Traceback" not in said
        assert "resolve" in project.command("dvc", "repro", ok=False)
        stage = {"datasets": "prepare", "backbones": "encode", "imports": "evaluate"}[place]
        for words in (["repro", "-s"], ["repro", "--keep-going"]):
            project.command("dvc", *words, f"stages/{stage}/dvc.yaml", ok=False)
        assert not [path for path in project.folder.rglob("*") if "pwned" in path.name]
    finally:
        (project / "params.yaml").write_text(before)
