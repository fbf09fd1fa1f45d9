"""Outputs may be links into a cache that others share: what a stage writes takes their place."""

from __future__ import annotations

from pathlib import Path

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
