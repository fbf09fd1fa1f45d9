"""Where commands are to write: what can't be written is one sentence, before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torchvision
from typer.testing import CliRunner

from crossgap.cli import app
from crossgap.cli.overwriting import require_place
from crossgap.errors import CrossgapError

ROOT = Path(__file__).parents[2]
LONG = "n" * 300
PLACES = ("file/x", "dangling/x", "dangling", LONG)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("dangling").symlink_to("nowhere/at/all")
    Path("folder").mkdir()


def refused(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done
    assert len(done.output.strip().splitlines()) == 1
    return done.output


@pytest.mark.parametrize("place", PLACES)
def test_a_folder_that_cannot_be_made_is_one_sentence(place, monkeypatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", lambda *_, **__: pytest.fail("it is downloaded"))
    for words in (("datasets", "get", "cifar10", place), ("init", place)):
        said = refused(*words)
        assert f"{place} can't be made (" in said and "name another place" in said


@pytest.mark.parametrize("place", ["folder", "file/x", "nowhere/x", LONG])
def test_a_file_that_cannot_be_written_is_told_before_any_work(place) -> None:
    with pytest.raises(CrossgapError, match=f"{place} (can't be (written|made)|is a folder)"):
        require_place(Path(place))
    given = str(ROOT / "params.yaml")
    assert place in refused("preset", "intra-modal", "--params", given, "--output", place)
    assert place in refused("layers", "tiny", "world", "--output", place)
    assert {one.name for one in Path().iterdir()} == {"file", "dangling", "folder"}


def test_what_is_no_file_is_not_replaced_by_one() -> None:
    os.mkfifo("pipe")
    Path("out").symlink_to("pipe")
    for place in ("pipe", "out"):
        with pytest.raises(CrossgapError, match=f"{place} is no file: name a file"):
            require_place(Path(place))
    assert Path("pipe").is_fifo() and Path("out").is_symlink()


def test_a_file_that_can_be_written_stays_as_it_is() -> None:
    require_place(Path("file"))
    require_place(Path("new"))
    assert Path("file").read_text() == "" and not Path("new").exists()


def test_of_a_link_the_file_that_it_leads_to_is_written() -> None:
    Path("shared.yaml").write_text((ROOT / "params.yaml").read_text())
    Path("params.yaml").symlink_to("shared.yaml")
    words = ["preset", "intra-modal", "--output", "params.yaml", "--force"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert Path("params.yaml").is_symlink()
    assert Path("shared.yaml").read_text() != (ROOT / "params.yaml").read_text()
