"""Links in the place of folders of outputs: what is refused is what DVC refuses, once a stage has run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from dvc.exceptions import ReproductionError
from dvc.repo import Repo
from typer.testing import CliRunner

from crossgap.cli import app
from crossgap.projects.linked import LinkError, require_outputs_in_git

STORE = "data/features/nano/world/native.zarr.zip"
PROJECT = f"stages: {{encode: {{cmd: echo made > {STORE}, outs: [{STORE}]}}}}\n"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A repository of git and of DVC, whose one stage writes a store."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    subprocess.run(["git", "init", "-q"], check=True)
    Repo.init().close()
    Path("dvc.yaml").write_text(PROJECT)
    return folder


def link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True)
    place.symlink_to(target)


@pytest.mark.parametrize("place", ["data", "data/features", "data/features/nano", "data/features/nano/world"])
@pytest.mark.parametrize("where", ["../disk", "disk"])
def test_a_link_is_refused_where_dvc_refuses_what_is_made(project, place, where) -> None:
    link(Path(place), Path(where).absolute())
    Path(STORE).parent.mkdir(parents=True, exist_ok=True)
    with Repo() as repo:
        if where == "disk":
            require_outputs_in_git()
            repo.reproduce()
        else:
            with pytest.raises(
                LinkError, match=f"^{place} is a link to {re.escape(str(project.parent / 'disk'))},"
            ):
                require_outputs_in_git()
            with pytest.raises(ReproductionError) as refused:
                repo.reproduce()
            assert "outside of git repository" in str(refused.value.__cause__)
    assert Path(STORE).read_text() == "made\n"


@pytest.mark.parametrize("place", ["scratch", "raw", "set-aside", "datasets/world", "metrics/nano/world"])
def test_links_of_what_is_no_output_and_of_outputs_themselves_pass(project, place) -> None:
    link(Path("data", place), Path("../disk").absolute())
    require_outputs_in_git()


def test_without_git_dvc_follows_links(project) -> None:
    link(Path("data/features"), Path("../disk").absolute())
    Path(".git").rename("../git")
    require_outputs_in_git()


@pytest.mark.parametrize(
    "place", ["backbones", "datasets", "distilled/nano/world", "imports", "metrics/nano", "report"]
)
def test_check_says_so_before_any_work(project, place) -> None:
    link(Path("data", place), Path("../a disk").absolute())
    result = CliRunner().invoke(app, ["check"])
    said = " ".join(result.output.split())
    assert result.exit_code == 1 and f"data/{place} is a link to" in said
    assert f"`dvc cache dir '{project.parent}/a disk'`" in said and "dvc config cache.type symlink" in said
