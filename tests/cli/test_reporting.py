"""`crossgap report`: the page with what is known of it here, and where it is."""

from __future__ import annotations

import subprocess
import webbrowser
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from crossgap.cli import app
from crossgap.report import render
from tests.report.conftest import Page, unpacked

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A page, two locks, and the times of one stage."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "data/report/index.html"
    page.parent.mkdir(parents=True)
    page.write_text(render([]), encoding="utf-8")
    report = {"cmd": "python -m stages.report", "outs": [_out("data/report/index.html", 10)]}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"report": report}}))
    names = ("b32/photos", "gone/photos")
    encoded = {
        f"encode@{name.replace('/', '-')}": {
            "cmd": f"python -m stages.encode {name.replace('/', ' ')}",
            "outs": [_out(f"data/features/{name}/native.zarr.zip", 1234567)],
        }
        for name in names
    }
    lock = tmp_path / "stages/encode/dvc.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(yaml.safe_dump({"schema": "2.0", "stages": encoded}))
    store = tmp_path / "data/features/b32/photos/native.zarr.zip"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"not a store")
    times = tmp_path / "data/scratch/times/encode/b32/photos.json"
    times.parent.mkdir(parents=True)
    times.write_text('{"seconds": 1234.5, "ended": "2026-01-02T03:04:05+00:00"}')
    return tmp_path


def _out(path: str, size: int) -> dict:
    return {"path": path, "hash": "md5", "md5": MD5, "size": size}


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["report", *words])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.output


def shown(project: Path) -> dict:
    page = Page((project / "data/scratch/report/index.html").read_text(encoding="utf-8"))
    return unpacked(page.scripts["here"])


def test_it_says_where_the_page_is_and_what_made_it(project):
    before = (project / "data/report/index.html").read_bytes()
    assert run() == (0, "data/scratch/report/index.html\n")
    assert (project / "data/report/index.html").read_bytes() == before, "DVC's own stays as it is"
    found = shown(project)
    rows = [dict(zip(found["heads"], row, strict=True)) for row in found["stages"]]
    assert [row["stage"] for row in rows] == ["encode@b32-photos", "report"], (
        "in the pipeline's order, what is here"
    )
    assert (rows[0]["seconds"], rows[0]["ended"]) == ("1,234.5", "2026-01-02T03:04:05+00:00")
    assert (rows[0]["md5"], rows[0]["bytes"], rows[1]["seconds"]) == (MD5, "1,234,567", "–")
    assert dict(found["facts"])["exactly again by"] == "dvc repro", "no repository of git"


def test_the_revision_is_gits_and_says_what_is_not_committed(project):
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "state"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    run()
    facts = dict(shown(project)["facts"])
    assert facts["revision of git"] == head
    assert facts["exactly again by"] == f"git checkout {head[:12]} && dvc repro"
    with (project / "dvc.lock").open("a") as lock:
        lock.write("\n")
    run()
    facts = dict(shown(project)["facts"])
    assert facts["revision of git"] == f"{head}, with changes that are not committed in dvc.lock"
    assert facts["exactly again by"] == "dvc repro"


def test_open_opens_the_browser(project, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: not opened.append(address))
    assert run("--open")[0] == 0
    assert opened == [(project / "data/scratch/report/index.html").as_uri()]
    run()
    assert len(opened) == 1
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    code, said = run("--open")
    assert code == 1 and "no browser can be opened here" in said


def test_without_a_page_or_with_another_one_it_says_what_to_do(project):
    page = project / "data/report/index.html"
    page.write_text("<html></html>")
    assert "let `dvc repro` make it again" in run()[1]
    page.unlink()
    code, said = run()
    assert code == 1 and said.startswith(
        "crossgap: data/report/index.html is not there: `dvc repro` makes it"
    )
