"""Shards of WebDataset, as img2dataset and the library itself write them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from crossgap.datasets.declared import DatasetError, WebDataset
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def pack(tar: Path, members: list[tuple[str, bytes]]) -> Path:
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return tar


def declared(root: Path, splits: dict[str, str] | None = None, **fields) -> WebDataset:
    splits = splits or {"test": "val-*.tar"}
    first = next(iter(splits))
    fields = {"retrieval": {"query": first, "gallery": first}, "vocabulary": "none"} | fields
    return WebDataset(layout="webdataset", root=root, splits=splits, **fields)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two shards of val, the second's key with a folder, and one of train in a folder; captions in txt and json."""
    root = tmp_path / "cc"
    told = json.dumps({"caption": ["First.", "Second."], "width": 4}).encode()
    pack(
        root / "val-0.tar",
        [("000.jpg", jpeg(0)), ("000.txt", b" A dog.\n"), ("000.json", told), ("000.cls", b"1")],
    )
    pack(
        root / "val-1.tar",
        [("./x/0.jpg", jpeg(1)), ("./x/0.txt", b"A cat."), ("./x/0.json", told), ("x/0.cls", b"0")],
    )
    pack(root / "train/t.tar", [("0.seg.png", b"no image of ours"), ("0.txt", b"A cow."), ("0.JPG", jpeg(2)),
                                ("0.json", told), ("0.cls", b"1"), (".hidden", b""), ("README", b"")])  # fmt: skip
    return root


NAMES = {"0": "cat", "1": "dog"}


def test_samples_of_several_splits(root, tmp_path) -> None:
    splits = {"test": "val-*.tar", "train": "train/*.tar"}
    items = prepare(declared(root, splits, class_names=NAMES), tmp_path).items
    images = manifest.select(items, "image")
    assert images[["id", "path", "split", "label.class"]].to_numpy().tolist() == [
        ["val-0/000", "val-0.tar/000.jpg", "test", "1"],
        ["val-1/x/0", "val-1.tar/x/0.jpg", "test", "0"],
        ["train/t/0", "train/t.tar/0.JPG", "train", "1"],
    ]
    captions = items[items["group"].notna() & (items["modality"] == "text")]
    assert captions[["group", "text", "rank"]].to_numpy().tolist() == [
        ["val-0/000", "A dog.", 0],
        ["val-1/x/0", "A cat.", 0],
        ["train/t/0", "A cow.", 0],
    ]
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts["text"].tolist() == ["a photo of a cat.", "a photo of a dog."]


def test_captions_in_json(root, tmp_path) -> None:
    items = prepare(declared(root, caption="json:caption", class_names=NAMES), tmp_path).items
    captions = items[items["group"].notna() & (items["modality"] == "text")]
    assert captions[["group", "text", "rank"]].to_numpy().tolist() == [
        [image, text, rank]
        for image in ("val-0/000", "val-1/x/0")
        for rank, text in enumerate(("First.", "Second."))
    ]
    with pytest.raises(
        DatasetError, match=r"caption: no sample under .* has 'json:title'; endings: cls, jpg, json, txt"
    ):
        read(declared(root, caption="json:title", class_names=NAMES), tmp_path)


def test_classes_alone(tmp_path) -> None:
    pack(
        tmp_path / "a.tar",
        [("0.png", jpeg(0)), ("0.cls", b"tabby_cat\n"), ("1.png", jpeg(1)), ("1.cls", b"dog")],
    )
    items = prepare(declared(tmp_path, {"test": "a.tar"}), tmp_path).items
    assert items[["id", "label.class", "text"]].to_numpy().tolist() == [
        ["a/0", "tabby_cat", None],
        ["a/1", "dog", None],
        ["classes/class/dog#0", "dog", "a photo of a dog."],
        ["classes/class/tabby_cat#0", "tabby_cat", "a photo of a tabby cat."],
    ]


def test_numbered_classes_need_names(root, tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"class_names: 2 labels are numbers without a name \(0, 1\)"):
        read(declared(root), tmp_path)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([("1.jpg", jpeg(3))], "image without caption"),
        ([("1.jpg", jpeg(3)), ("1.txt", b" \n")], "empty caption"),
        ([("1.jpg", jpeg(3)), ("1.txt", b"\xff")], r"not UTF-8"),
        ([("1.txt", b"Alone.")], "sample without image"),
        ([("1.jpg", jpeg(3)), ("1.png", jpeg(3)), ("1.txt", b"Two.")], "several images"),
        ([("1.jpg", jpeg(3)), ("1.txt", b"A."), ("1.cls", b"")], "empty class"),
        ([("1.jpg", b""), ("1.txt", b"A.")], "empty file"),
    ],
)
def test_bad_samples_are_told_or_set_aside(tmp_path, members, problem) -> None:
    pack(tmp_path / "a.tar", [("0.jpg", jpeg(0)), ("0.txt", b"Fine."), *members])
    with pytest.raises(DatasetError, match=f"1 bad items.*\n  a.tar/1.*{problem}"):
        prepare(declared(tmp_path, {"test": "a.tar"}), tmp_path)
    made = prepare(declared(tmp_path, {"test": "a.tar"}, on_problem="set_aside"), tmp_path)
    assert manifest.select(made.items, "image")["id"].tolist() == ["a/0"]
    assert made.problems["id"][0] == "a/1"


def test_bad_json_is_told(tmp_path) -> None:
    pack(tmp_path / "a.tar", [("0.jpg", jpeg(0)), ("0.json", b"{"), ("1.jpg", jpeg(1)), ("1.json", b'{"c": 3}'),
                              ("2.jpg", jpeg(2)), ("2.json", b'{"c": "Fine."}')])  # fmt: skip
    reading = read(declared(tmp_path, {"test": "a.tar"}, caption="json:c"), tmp_path)
    assert [problem.problem for problem in reading.problems] == [
        "its `json` is no JSON: Expecting property name enclosed in double quotes",
        "its json:c is no text: 3",
    ]


def test_tars_that_cannot_be_read_are_told(root, tmp_path) -> None:
    with pytest.raises(
        DatasetError, match=r"splits.test: no tar under .* fits 'test-{0..1}.tar': give a pattern"
    ):
        read(declared(root, {"test": "test-{0..1}.tar"}), tmp_path)
    with pytest.raises(DatasetError, match=r"splits\.test: no tar under .* fits '/"):
        read(declared(root, {"test": f"{root}/val-0.tar"}), tmp_path)
    with pytest.raises(DatasetError, match=r"splits\.b: val-0\.tar is of split a too"):
        read(declared(root, {"a": "val-*.tar", "b": "*-0.tar"}), tmp_path)
    with pytest.raises(DatasetError, match=r"root .*nowhere is no folder"):
        read(declared(root / "nowhere"), tmp_path)

    whole = (root / "val-0.tar").read_bytes()
    for name, data in (("gz.tar", gzip.compress(whole)), ("cut.tar", whole[:700])):
        (root / name).write_bytes(data)
        with pytest.raises(DatasetError, match=f"{name} is not a whole uncompressed tar"):
            read(declared(root, {"test": name}), tmp_path)
    (root / "b.tar.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(DatasetError, match=r"b\.tar\.gz fits 'b\*', but is no \.tar: decompress it"):
        read(declared(root, {"test": "b*"}), tmp_path)
    pack(root / "twice.tar", [("0.jpg", jpeg(0)), ("0.jpg", jpeg(1)), ("0.txt", b"A.")])
    with pytest.raises(DatasetError, match=r"twice\.tar has 0\.jpg twice"):
        read(declared(root, {"test": "twice.tar"}), tmp_path)
    pack(root / "bare.tar", [("0.jpg", jpeg(0))])
    with pytest.raises(DatasetError, match=r"no sample under .* has 'txt', nor `cls`; endings: jpg"):
        read(declared(root, {"test": "bare.tar"}), tmp_path)


def captions_of(made) -> list[list[str]]:
    texts = manifest.select(made.items, "text", "test")
    return [group["text"].tolist() for _, group in texts.groupby("group", sort=True)]


FIVE = "A dog runs.\nA brown dog.\n\n Dog on grass. \r\n"


@pytest.mark.parametrize(
    ("texts", "asked", "expected"),
    [
        ([FIVE, "A cat.\nGrey.\nCat."], None, [3, 3]),
        ([FIVE, FIVE, "Two\nof it."], None, [3, 3, 2]),
        ([FIVE, FIVE, "A line."], None, [1, 1, 1]),  # a line end within a caption, as of img2dataset
        ([FIVE, "One.\nTwo.", "Of\nfour\nlines\nit."], None, [1, 1, 1]),  # none is common
        ([FIVE], None, [1]),  # one says nothing of the others
        ([FIVE, FIVE], False, [1, 1]),
        ([FIVE, "A line."], True, [3, 1]),
    ],
)
def test_captions_a_line_each(tmp_path, texts, asked, expected) -> None:
    members = [
        (f"{number}.{ending}", data)
        for number, text in enumerate(texts)
        for ending, data in (("jpg", jpeg(number)), ("txt", text.encode()))
    ]
    pack(tmp_path / "a.tar", members)
    made = prepare(declared(tmp_path, {"test": "a.tar"}, caption_lines=asked), tmp_path)
    found = captions_of(made)
    assert [len(texts) for texts in found] == expected
    assert found[0] == (
        ["A dog runs.", "A brown dog.", "Dog on grass."] if expected[0] == 3 else [FIVE.strip()]
    )
    decided = any("a line was taken for a caption" in note for note in made.notes)
    assert decided == (asked is None and expected[0] == 3)
    several = any("captions have several lines" in note for note in made.notes)
    assert several == (expected[0] == 1 and asked is None)


def test_minus_one_is_no_class(tmp_path) -> None:
    pack(tmp_path / "a.tar", [(f"{n}.{e}", d) for n, c in enumerate(["0", "-1", "-1"]) for e, d in
                              (("jpg", jpeg(n)), ("cls", c.encode()))])  # fmt: skip
    made = prepare(declared(tmp_path, {"test": "a.tar"}, class_names={"0": "cat"}), tmp_path)
    assert made.items["label.class"].tolist() == ["0", None, None, "0"]
    assert made.items["text"].dropna().tolist() == ["a photo of a cat."]


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path) -> None:
    marked = {"cls": "cat", "txt": "A cat."}
    pack(
        tmp_path / "a.tar",
        [("0.jpg", jpeg(0)), *((f"0.{e}", t.encode("utf-8-sig")) for e, t in marked.items())],
    )
    items = prepare(declared(tmp_path, {"test": "a.tar"}, caption="txt"), tmp_path).items
    assert items["label.class"].tolist()[0] == "cat" and items["text"].tolist()[1] == "A cat."


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["1.0", "0", "-1.0", "1"], ["1", "0", None, "1"]),
        (["1.0", "0", "v2", "1"], ["1.0", "0", "v2", "1"]),
        (["1.0", "1.5", "2.0", "1.5"], ["1.0", "1.5", "2.0", "1.5"]),
    ],
)
def test_whole_numbers_written_with_a_point(tmp_path, written, expected) -> None:
    pack(tmp_path / "a.tar", [(f"{n}.{e}", d) for n, c in enumerate(written) for e, d in
                              (("jpg", jpeg(n)), ("cls", c.encode()))])  # fmt: skip
    names = {label: f"name of {label}" for label in expected if label}
    made = prepare(declared(tmp_path, {"test": "a.tar"}, class_names=names), tmp_path)
    assert made.items["label.class"].tolist()[:4] == expected
    assert made.items["text"].dropna().tolist() == [
        f"a photo of a {names[label]}." for label in sorted(names)
    ]


@pytest.mark.parametrize("name", ["22.05.png", "a/v1.2.JPG"])
def test_a_dot_in_a_key_is_named(tmp_path, name) -> None:
    pack(tmp_path / "a.tar", [(name, jpeg(0)), (f"{name[:-4]}.txt", b"A dog.")])
    with pytest.raises(
        DatasetError,
        match=r"sample without image: the key of .* ends at its first dot.*such as \w+\.(png|JPG)",
    ):
        prepare(declared(tmp_path, {"test": "a.tar"}), tmp_path)


def test_links_in_a_shard_and_folders_of_shards_that_are_links(tmp_path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in (("0.jpg", jpeg(0)), ("0.txt", b"A dog."), ("1.txt", b"As before.")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        member = tarfile.TarInfo("1.jpg")
        member.type, member.linkname = tarfile.LNKTYPE, "0.jpg"
        archive.addfile(member)
    (tmp_path / "root/real").mkdir(parents=True)
    (tmp_path / "a.tar").rename(tmp_path / "root/real/a.tar")
    (tmp_path / "root/real/._a.tar").write_bytes(b"what macOS leaves beside")
    (tmp_path / "root/linked").symlink_to("real")
    for pattern in ("**/*.tar", "*/*.tar"):
        made = prepare(declared(tmp_path / "root", {"test": pattern}), tmp_path)
        images = manifest.select(made.items, "image")
        assert images["id"].tolist() == ["linked/a/0", "linked/a/1", "real/a/0", "real/a/1"]
        assert images["digest"].nunique() == 1 and made.problems.empty
