"""Karpathy's JSON of COCO, Flickr30k and Flickr8k."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from crossgap.datasets.declared import DatasetError, Karpathy
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

COCO = "dataset_coco.json"


def image(name: str, split: str, *texts: str, folder: str | None = None, light: bool = False) -> dict:
    """An entry as Karpathy's files have it; `light` without the tokens, as Cross the Gap uses it."""
    sentences = [{"raw": text, "imgid": 0, "sentid": 0} for text in texts]
    if not light:
        sentences = [sentence | {"tokens": sentence["raw"].lower().split()} for sentence in sentences]
    found = {"filename": name, "imgid": 0, "split": split, "sentences": sentences, "sentids": []}
    return found | ({"filepath": folder, "cocoid": int(name[-10:-4])} if folder else {})


ENTRIES = [
    ("COCO_val2014_000000391895.jpg", "test", "val2014", ["A man on a bike.", "A man riding.", "A man on a bike."]),
    ("COCO_val2014_000000060623.jpg", "restval", "val2014", ["A young girl.", "A girl inhales."]),
    ("COCO_val2014_000000184613.jpg", "val", "val2014", ["A child with an umbrella."]),
    ("COCO_train2014_000000057870.jpg", "train", "train2014", ["A restaurant."]),
]  # fmt: skip


def write(root: Path, name: str, entries: list[dict], folder: str = "") -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps({"images": entries, "dataset": "coco"}))
    for number, entry in enumerate(entries):
        file = root / entry.get("filepath", folder) / entry["filename"]
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(file)


@pytest.fixture(params=[False, True], ids=["whole", "light"])
def root(request, tmp_path) -> Path:
    entries = [image(n, s, *texts, folder=f, light=request.param) for n, s, f, texts in ENTRIES]
    write(tmp_path / "coco", COCO, entries)
    return tmp_path / "coco"


def declared(root: Path, captions: str = COCO, **fields) -> Karpathy:
    fields = {"retrieval": {"query": "test", "gallery": "test"}, "vocabulary": "none"} | fields
    return Karpathy(layout="karpathy", root=root, captions=captions, **fields)


def test_the_miniature_of_coco(root, tmp_path) -> None:
    sizes = {"train": {"images": 2, "texts": 3}, "val": {"images": 1}, "test": {"images": 1, "texts": 3}}
    items = prepare(declared(root, sizes=sizes), tmp_path).items
    assert manifest.select(items, "image")[["id", "split"]].to_numpy().tolist() == [
        ["train2014/COCO_train2014_000000057870", "train"],
        ["val2014/COCO_val2014_000000060623", "train"],
        ["val2014/COCO_val2014_000000184613", "val"],
        ["val2014/COCO_val2014_000000391895", "test"],
    ]
    test = manifest.select(items, "text", "test")
    assert test["text"].tolist() == ENTRIES[0][3]
    assert test["rank"].tolist() == [0, 1, 2]
    assert set(test["group"]) == {"val2014/COCO_val2014_000000391895"}


@pytest.mark.parametrize(
    ("name", "file"),
    [("dataset_flickr30k.json", "1000092795.jpg"), ("dataset_flickr8k.json", "2513260012_03d33305cf.jpg")],
)
def test_flickr_has_no_file_path(tmp_path, name, file) -> None:
    entries = [
        image(file, "train", "Two young guys ."),
        image("b.jpg", "val", "A dog ."),
        image("c.jpg", "test", "A cat .", "A kitten ."),
    ]
    write(tmp_path / "root", name, entries, folder="flickr-images")
    items = prepare(declared(tmp_path / "root", name), tmp_path).items
    found = manifest.select(items, "image")[["path", "split"]].to_numpy().tolist()
    assert sorted(found, key=lambda row: row[1]) == [
        ["flickr-images/c.jpg", "test"],
        [f"flickr-images/{file}", "train"],
        ["flickr-images/b.jpg", "val"],
    ]


def test_a_folder_that_is_missing(root, tmp_path) -> None:
    (root / "train2014/COCO_train2014_000000057870.jpg").unlink()
    with pytest.raises(DatasetError, match="folder train2014: none of its 1 images"):
        read(declared(root), tmp_path)
    made = prepare(declared(root, on_problem="set_aside"), tmp_path)
    assert made.problems["item"][0] == "train2014/COCO_train2014_000000057870.jpg"
    assert sorted(manifest.select(made.items, "image")["split"]) == ["test", "train", "val"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda images: images[1].update(split="dev"),
            r"images\[1\] is of split 'dev', none of train, restval",
        ),
        (
            lambda images: images.append(images[0]),
            r"images\[4\] is val2014/.*391895.jpg, which is there already",
        ),
        (lambda images: images[2].pop("sentences"), r"images\[2\] has sentences None"),
        (lambda images: images[0]["sentences"][1].pop("raw"), r"images\[0\].sentences\[1\] has raw None"),
    ],
)
def test_files_that_hold_something_else(root, tmp_path, change, message) -> None:
    content = json.loads((root / COCO).read_text())
    change(content["images"])
    (root / COCO).write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=message):
        read(declared(root), tmp_path)


def test_a_file_or_root_that_is_missing(root, tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"dataset_flickr8k.json can't be read"):
        read(declared(root, "dataset_flickr8k.json"), tmp_path)
    with pytest.raises(DatasetError, match=r"splits .*elsewhere/dataset_coco.json can't be read"):
        read(declared(tmp_path / "elsewhere"), tmp_path)
