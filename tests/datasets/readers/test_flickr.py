"""Flickr30k's and Flickr8k's own files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from crossgap.datasets.declared import DatasetError, Flickr
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

SAME = {"query": "test", "gallery": "test"}
RESULTS = """image_name| comment_number| comment
1000092795.jpg| 0| Two young guys , with shaggy hair .
1000092795.jpg| 1| Two young , White males | outside .
10002456.jpg| 0| Several men in hard hats .
10002456.jpg| 1| Workers look down .
2199200615.jpg| 0| A dog runs .
2199200615.jpg| 4   A dog runs across the grass .
998845445.jpg| 0| A man in no list .
"""
LISTS = {"train": "karpathy_train.txt", "val": "karpathy_val.txt", "test": "karpathy_test.txt"}


def put(root: Path, folder: str, *names: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(root / folder / name, format="JPEG")


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "flickr30k_images"
    put(root, "flickr30k_images", "1000092795.jpg", "10002456.jpg", "2199200615.jpg", "998845445.jpg")
    (root / "results.csv").write_text(RESULTS)
    (root / "karpathy_train.txt").write_text("1000092795\n")
    (root / "karpathy_val.txt").write_text("10002456.jpg\n")
    (root / "karpathy_test.txt").write_text("2199200615")
    return root


def declared(root: Path, captions: str = "results.csv", lists: dict = LISTS, **fields) -> Flickr:
    fields = {"retrieval": SAME, "vocabulary": "none"} | fields
    return Flickr(layout="flickr", root=root, captions=captions, lists=lists, **fields)


def test_the_miniature_of_flickr30k(root, tmp_path) -> None:
    made = prepare(declared(root), tmp_path)
    texts = manifest.select(made.items, "text")
    assert texts[["group", "split", "rank", "text"]].to_numpy().tolist() == [
        ["flickr30k_images/1000092795", "train", 0, "Two young guys , with shaggy hair ."],
        ["flickr30k_images/1000092795", "train", 1, "Two young , White males | outside ."],
        ["flickr30k_images/10002456", "val", 0, "Several men in hard hats ."],
        ["flickr30k_images/10002456", "val", 1, "Workers look down ."],
        ["flickr30k_images/2199200615", "test", 0, "A dog runs ."],
        ["flickr30k_images/2199200615", "test", 1, "A dog runs across the grass ."],
    ]
    assert len(manifest.select(made.items, "image")) == 3, "what no list names is left out"
    assert made.problems.empty


def test_without_lists_all_is_test(root, tmp_path) -> None:
    items = prepare(declared(root, lists={}, sizes={"test": {"images": 4, "texts": 7}}), tmp_path).items
    assert set(items["split"]) == {"test"}


def test_tokens_of_flickr30k(root, tmp_path) -> None:
    lines = [
        f"{image}#{number}\t{text}"
        for image, number, text in (
            ("1000092795.jpg", 0, "Two guys ."),
            ("10002456.jpg", 0, "Men ."),
            ("10002456.jpg", 1, "Workers # 1 ."),
        )
    ]
    (root / "results_20130124.token").write_text("\n".join(lines) + "\n")
    items = prepare(declared(root, "results_20130124.token", lists={}), tmp_path).items
    texts = manifest.select(items, "text")
    assert texts["text"].tolist() == ["Two guys .", "Men .", "Workers # 1 ."]
    assert texts["rank"].tolist() == [0, 0, 1]


def test_flickr8k_of_its_authors(tmp_path) -> None:
    """The token file has captions of a `.jpg.1` that is no image and in no list."""
    root = tmp_path / "Flickr8k"
    put(
        root,
        "Flicker8k_Dataset",
        "1000268201_693b08cb0e.jpg",
        "2258277193_586949ec62.jpg",
        "3385593926_d3e9c21170.jpg",
    )
    rows = [
        ("1000268201_693b08cb0e.jpg#0", "A child ."),
        ("1000268201_693b08cb0e.jpg#1", "A girl ."),
        ("2258277193_586949ec62.jpg.1#0", "People wait ."),
        ("3385593926_d3e9c21170.jpg#0", "The dogs ."),
    ]
    (root / "Flickr8k.token.txt").write_text("".join(f"{name}\t{text}\n" for name, text in rows))
    (root / "Flickr_8k.trainImages.txt").write_text("1000268201_693b08cb0e.jpg\r\n")
    (root / "Flickr_8k.testImages.txt").write_text("3385593926_d3e9c21170.jpg\r\n")
    lists = {"train": "Flickr_8k.trainImages.txt", "test": "Flickr_8k.testImages.txt"}
    items = prepare(declared(root, "Flickr8k.token.txt", lists), tmp_path).items
    assert manifest.select(items, "image")[["path", "split"]].to_numpy().tolist() == [
        ["Flicker8k_Dataset/1000268201_693b08cb0e.jpg", "train"],
        ["Flicker8k_Dataset/3385593926_d3e9c21170.jpg", "test"],
    ]
    with pytest.raises(DatasetError, match=r"1 × no such file\n  2258277193_586949ec62.jpg.1"):
        prepare(declared(root, "Flickr8k.token.txt", {}), tmp_path)


def test_kaggles_flickr8k(real, tmp_path) -> None:
    """1,000 real photos in a tar, and their captions as Kaggle's file has them."""
    root = tmp_path / "Flickr8k"
    root.mkdir()
    (root / "captions.txt").symlink_to(real / "flickr8k" / "captions.txt")
    (root / "images.tar").symlink_to(real / "flickr8k" / "images.tar")
    sizes = {"test": {"images": 1000, "texts": 5000}}
    items = prepare(declared(root, "captions.txt", {}, sizes=sizes), tmp_path).items
    texts = manifest.select(items, "text", "test")
    with (root / "captions.txt").open(newline="") as file:
        theirs = [(f"images/{row['image'][:-4]}", row["caption"].strip()) for row in csv.DictReader(file)]
    assert texts[["group", "text"]].apply(tuple, axis=1).tolist() == sorted(theirs, key=lambda row: row[0])
    assert texts["rank"].tolist() == [0, 1, 2, 3, 4] * 1000


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "10002456.jpg| 1| Workers",
            "10002456.jpg| Workers",
            r"line 5: .* is not `image\| number\| caption`",
        ),
        ("10002456.jpg| 1|", "10002456.jpg 1", "line 5: "),
        (" comment_number|", " number|", "line 1: .* is not `image#number, tab, caption`"),
    ],
)
def test_lines_that_are_malformed(root, tmp_path, old, new, message) -> None:
    (root / "results.csv").write_text(RESULTS.replace(old, new))
    with pytest.raises(DatasetError, match=message):
        read(declared(root), tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "karpathy_val.txt",
            "10002456\n1000092795\n",
            "lists.val: 1 images .* are of split train too .1000092795.jpg",
        ),
        ("karpathy_val.txt", "10002456\n5\n", "lists.val: 1 images .* no captions in results.csv .5.jpg"),
        ("karpathy_val.txt", "\n", "lists.val: .* is empty"),
        ("karpathy_val.txt", None, "list of split val .*karpathy_val.txt can't be read"),
        ("results.csv", None, "captions .*results.csv can't be read"),
        ("results.csv", "", "results.csv is empty"),
        ("results.csv", RESULTS.splitlines()[0], "results.csv is empty"),
    ],
)
def test_files_that_do_not_fit(root, tmp_path, file, text, message) -> None:
    (root / file).unlink()
    if text is not None:
        (root / file).write_text(text)
    with pytest.raises(DatasetError, match=message):
        read(declared(root), tmp_path)


def test_images_that_are_not_unpacked(root, tmp_path) -> None:
    (root / "flickr30k_images/10002456.jpg").unlink()
    with pytest.raises(DatasetError, match="split val: none of its 1 images"):
        read(declared(root), tmp_path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_captions_with_a_header_and_any_delimiter(root, tmp_path, delimiter) -> None:
    rows = ["image,caption", "10002456.jpg,Men .", "998845445.jpg,A man ."]
    (root / "captions.txt").write_text("\n".join(row.replace(",", delimiter) for row in rows) + "\n")
    items = prepare(declared(root, "captions.txt", lists={}), tmp_path).items
    assert items["text"].dropna().tolist() == ["Men .", "A man ."]
