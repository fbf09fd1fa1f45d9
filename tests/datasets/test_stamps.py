"""Files of a dataset that changed since they were noted."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from crossgap.datasets import stamps
from crossgap.datasets.declared import Declaration

NOTE = Path("scratch/prepare/photos-1.stamps")
ROWS = {
    "captions": {
        "layout": "captions",
        "root": "photos",
        "captions": "beside/captions.csv",
        "judgements": "beside/judged.csv",
        "boxes": "beside/boxes.csv",
        "vocabulary": "beside/names.txt",
        "styles": "beside/styles.txt",
    },
    "table": {"layout": "table", "root": "photos", "table": "sub/table.csv"},
    "table elsewhere": {"layout": "table", "root": "photos", "table": "../beside/captions.csv"},
    "imagefolder": {"layout": "imagefolder", "root": "photos"},
    "simat": {"layout": "simat", "root": "photos", "tables": "beside"},
    "huggingface": {"layout": "huggingface", "id": "photos", "splits": {"test": "test"}, "label_column": "l"},
    "webdataset": {"layout": "webdataset", "root": "photos", "splits": {"test": "*.tar"}},
}


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos/sub/a.png", "photos/sub/table.csv", "photos/.hidden/x.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    with tarfile.open("photos/more.tar", "w") as archive:
        archive.add("photos/sub/a.png")
    Path("beside").mkdir()
    for name in ("captions.csv", "judged.csv", "boxes.csv", "names.txt", "styles.txt"):
        Path("beside", name).write_text(name)


def declared(name: str = "captions", **more: object):
    return TypeAdapter(Declaration).validate_python({"retrieval": {}, **ROWS[name], **more})


def noted(declaration) -> Path:
    stamps.write(NOTE, stamps.of(declaration))
    return NOTE


def rewrite(path: str, content: str | None = None) -> None:
    """With the same size, if no other content is given, and another time."""
    before = os.stat(path)
    Path(path).write_text(content or "x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize("name", ROWS)
def test_every_file_that_a_row_names_or_that_lies_in_its_folders_counts(name):
    row = declared(name)
    note = noted(row)
    assert stamps.changed(note, row) == ""
    files = ["photos/sub/a.png", "photos/sub/table.csv", "photos/more.tar"]
    files += [f"beside/{name}" for name in os.listdir("beside")] if name in ("captions", "simat") else []
    files += ["beside/captions.csv"] if name == "table elsewhere" else []
    for count, path in enumerate(files, start=1):
        rewrite(path)
        said = stamps.changed(note, row)
        assert said.startswith(f"{count} changed (") and (count > 3 or path in said.replace("photos/../", ""))
    assert stamps.changed(noted(row), row) == ""


def test_new_gone_and_other_files_are_named():
    row = declared()
    note = noted(row)
    Path("photos/b.png").write_text("b")
    Path("photos/more.tar").unlink()
    rewrite("beside/captions.csv", "longer than before")
    Path("photos/.hidden/y.png").write_text("no matter")
    said = "1 changed (beside/captions.csv), 1 new (photos/b.png), 1 gone (photos/more.tar)"
    assert stamps.changed(note, row) == said


def test_a_link_that_leads_elsewhere_is_a_change():
    row = declared()
    Path("one.png").write_text("one")
    Path("other.png").write_text("other")
    Path("photos/link.png").symlink_to("../one.png")
    note = noted(row)
    Path("photos/link.png").unlink()
    Path("photos/link.png").symlink_to("../other.png")
    assert stamps.changed(note, row) == "1 changed (photos/link.png)"
    Path("other.png").unlink()
    Path("photos/itself.csv").symlink_to("itself.csv")
    assert stamps.changed(note, row) == "1 gone (photos/link.png)"


def test_what_is_not_there_any_more_is_no_change():
    row = declared()
    note = noted(row)
    os.rename("photos", "elsewhere")
    Path("beside/judged.csv").unlink()
    assert stamps.changed(note, row) == ""
    rewrite("beside/boxes.csv")
    assert stamps.changed(note, row) == "1 changed (beside/boxes.csv)"


def test_a_folder_that_the_project_lies_in_is_not_listed():
    row = declared(root=".")
    note = noted(row)
    Path("data").mkdir()
    Path("data/made by a run.csv").write_text("x")
    assert stamps.changed(note, row) == ""
    rewrite("beside/captions.csv")
    assert stamps.changed(note, row) == "1 changed (beside/captions.csv)"


def test_without_a_whole_note_nothing_is_said():
    row = declared()
    assert stamps.changed(NOTE, row) == ""
    note = noted(row)
    rewrite("beside/captions.csv")
    assert stamps.changed(note, row)
    note.write_bytes(note.read_bytes()[:-1])
    assert stamps.changed(note, row) == ""


def test_each_declaration_has_a_note_of_its_own():
    rows = [declared(), declared(revision=1), declared(root="elsewhere")]
    names = {stamps.note_of(Path("scratch"), "photos", row.model_dump(mode="json")) for row in rows}
    assert len(names) == 3 and {name.parent for name in names} == {NOTE.parent}


def test_what_generates_itself_has_no_files():
    world = TypeAdapter(Declaration).validate_python(
        {"layout": "world", "seed": 0, "images": {"test": 2}, "retrieval": {}}
    )
    assert stamps.of(world) == {} and stamps.changed(noted(world), world) == ""
