"""What `prepare` says of a dataset."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from crossgap.datasets.declared import Captions, ImageFolder, Table, WebDataset, World
from crossgap.datasets.preparing import prepare
from crossgap.datasets.saying import summary
from crossgap.prepared import manifest


def all_are(label: str, labelling: str = "class") -> str:
    return (
        f"all queries and all of the gallery are {label} by {labelling}: every ranking is right, and its numbers tell "
        "nothing; leave it out by `labellings` of retrieval"
    )


def photos(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(root / name)
    return root


def folders(root: Path, **fields) -> ImageFolder:
    fields = {"retrieval": {"query": "test", "gallery": "train"}, "vocabulary": "none"} | fields
    return ImageFolder(layout="imagefolder", root=root, splits=["train", "test"], **fields)


def test_a_summary_counts_each_kind_and_the_vocabulary_by_itself(tmp_path) -> None:
    root = photos(tmp_path / "r", "train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/dog/4.png")
    (root / "test/dog/5.png").write_bytes(b"")
    (tmp_path / "names.txt").write_text("zebra\nviolin\nteapot\n")
    made = prepare(folders(root, on_problem="set_aside", vocabulary=str(tmp_path / "names.txt")), tmp_path)
    assert summary(made) == (
        "4 images, 0 texts, 2 class prompts, 6 texts of the vocabulary (3 names, bare and as photos), which "
        "corrections are fitted on, 131 names of styles, 1 set aside (1 × empty file (0 bytes))"
    )
    assert summary(prepare(folders(photos(tmp_path / "s", "train/a/1.png", "test/a/2.png")), tmp_path)) == (
        "2 images, 0 texts, 1 class prompts, none set aside"
    )


def test_a_summary_of_the_world_agrees_with_its_manifest(tmp_path) -> None:
    made = prepare(World(layout="world", images={"train": 6, "test": 3}, retrieval={}), tmp_path)
    said = summary(made)
    texts = made.items[(made.items["modality"] == "text") & ~made.items["split"].isin(manifest.RESERVED)]
    vocabulary = made.items["split"].isin(manifest.VOCABULARIES).sum()
    assert (
        said.startswith(f"9 images, {len(texts)} texts") and f"{vocabulary} texts of the vocabulary" in said
    )
    assert "216 names of styles, none set aside" in said


def test_notes_follow_a_line_each(tmp_path) -> None:
    root = photos(tmp_path / "r", "a.png", "b.png", "c.png")
    (tmp_path / "c.csv").write_text(
        "image,caption,number\na.png,A dog.,0\na.png,A dog.,1\nb.png,B.,0\nb.png,C.,1\n"
    )
    declared = Captions(
        layout="captions", root=root, captions=tmp_path / "c.csv", vocabulary="none", retrieval={}
    )
    assert summary(prepare(declared, tmp_path)).split("\n") == [
        "2 images, 4 texts, none set aside",
        f"  note: 1 images under {root} are not named by c.csv: they are left alone",
        "  note: 1 captions repeat another one of their image (a): each counts by itself",
    ]


def test_classes_with_queries_of_which_the_gallery_has_nothing_are_said(tmp_path) -> None:
    names = [
        "train/cat/1.png",
        "test/cat/2.png",
        "test/cow/3.png",
        "test/cow/4.png",
        "test/ant/5.png",
        "train/elk/6.png",
    ]
    made = prepare(folders(photos(tmp_path / "r", *names)), tmp_path)
    assert made.notes == (
        "3 queries have nothing to find by class: of ant, cow the gallery has none; they are left out of its means",
    )


@pytest.mark.parametrize(
    ("labellings", "said", "red"), [(None, True, True), (["class"], True, False), (["colour"], False, True)]
)
def test_a_class_of_one_image_and_one_of_all_images_are_said(tmp_path, labellings, said, red) -> None:
    photos(tmp_path, "1.png", "2.png", "3.png")
    table = pd.DataFrame(
        {"path": ["1.png", "2.png", "3.png"], "label": list("aab"), "label.colour": ["red"] * 3}
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    retrieval = {"labellings": labellings}
    declared = Table(layout="table", root=tmp_path, table="t.csv", vocabulary="none", retrieval=retrieval)
    expected = "1 queries have nothing to find by class: of b the gallery has no other; they are left out of its means"
    notes = ((expected,) if said else ()) + ((all_are("red", "colour"),) if red else ())
    assert prepare(declared, tmp_path).notes == notes


def test_blank_labels_are_said_a_split_and_none_of_a_split_without_any(tmp_path) -> None:
    names = [f"{number}.png" for number in range(6)]
    photos(tmp_path, *names)
    table = pd.DataFrame(
        {
            "path": names,
            "label": ["a", "", "a", " ", "", "a"],
            "split": ["test", "test", "test", "x", "x", "test"],
        }
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    declared = Table(layout="table", root=tmp_path, table="t.csv", vocabulary="none", retrieval={})
    assert prepare(declared, tmp_path).notes == (
        "1 of 4 images of split test have no class (blank, or -1)",
        all_are("a"),
    )


def test_images_without_a_caption_are_said_a_split_and_none_of_a_split_without_any(tmp_path) -> None:
    names = [f"{number}.png" for number in range(4)]
    photos(tmp_path, *names)
    table = pd.DataFrame(
        {"path": names, "text": ["A.", " ", "", ""], "split": ["test", "test", "test", "train"]}
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    declared = Table(layout="table", root=tmp_path, table="t.csv", vocabulary="none", retrieval={})
    assert prepare(declared, tmp_path).notes == ("2 of 3 images of split test have no caption",)


def test_captions_of_as_many_lines_are_said(tmp_path) -> None:
    photos(tmp_path, "1.png", "2.png", "3.png")
    texts = ["A.\nB.\nC.", "D.\nE.\nF.", "One."]
    pd.DataFrame({"path": ["1.png", "2.png", "3.png"], "text": texts}).to_parquet(tmp_path / "t.parquet")
    declared = Table(layout="table", root=tmp_path, table="t.parquet", vocabulary="none", retrieval={})
    (note,) = prepare(declared, tmp_path).notes
    assert note == (
        "2 of 3 captions have several lines, 3 in 2 of them, and each is one caption: if a line is a caption, write "
        "each as a row of its own"
    )


@pytest.mark.parametrize(
    ("numbers", "asked", "said"),
    [
        ([5, 5, 5, 5, 5, 5, 1, 1], None, "6 of 8 captions have several lines, 5 in 6 of them"),
        ([5, 5, 4, 1, 3], None, "4 of 5 captions have several lines, 5 in 2 of them"),
        ([5, 5, 5, 5, 5, 5, 1, 1], False, None),
        ([5, 5, 1, 1], None, None),
    ],
)
def test_captions_of_several_lines_in_shards_are_said(tmp_path, numbers, asked, said) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        for number, count in enumerate(numbers):
            photos(tmp_path, f"{number}.png")
            (tmp_path / f"{number}.txt").write_text("\n".join(f"Line {line}." for line in range(count)))
            for name in (f"{number}.png", f"{number}.txt"):
                shard.add(tmp_path / name, name)
    declared = WebDataset(
        layout="webdataset", root=tmp_path, splits={"test": "a.tar"}, caption_lines=asked, vocabulary="none",
        retrieval={},
    )  # fmt: skip
    notes = prepare(declared, tmp_path).notes
    if said is None:
        assert notes == ()
    else:
        (note,) = notes
        assert note.startswith(said) and note.endswith("declare `caption_lines: true`, or `false` if not")


def test_images_that_two_splits_have_are_said(tmp_path) -> None:
    root = photos(tmp_path / "r", "train/a/1.png", "train/a/2.png", "test/a/3.png", "val/a/4.png")
    (root / "test/a/copy.png").write_bytes((root / "train/a/1.png").read_bytes())
    (root / "val/a/copy.png").write_bytes((root / "train/a/1.png").read_bytes())
    said = (
        "images of test are in train too, by their content: a query of them finds its copy; keep each in one split, "
        "unless that is meant"
    )
    assert prepare(folders(root), tmp_path).notes == (all_are("a"), f"1 {said}")  # val is not measured
    alone = folders(root, retrieval={"query": "test", "gallery": "test"})
    assert prepare(alone, tmp_path).notes == (all_are("a"),)
    (root / "linked").mkdir()
    for name in ("train", "test"):
        (root / "linked" / name).symlink_to(root / "train")
    assert prepare(folders(root / "linked"), tmp_path).notes == (all_are("a"), f"2 {said}")
