"""CIFAR's batches, as Python 2 pickled them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossgap.datasets.declared import Cifar, DatasetError
from crossgap.datasets.image_files import read_bytes
from crossgap.datasets.images import decode
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FINE = ["apple", "aquarium_fish", "baby", "bear"]
COARSE = ["aquatic_mammals", "fish", "food_containers"]


def batch(pixels: np.ndarray, **labels: list[int]) -> dict:
    """As in the archives: channels first, a row an image."""
    files = [f"image_s_{number:06d}.png" for number in range(len(pixels))]
    return {"data": pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1), "filenames": files, **labels}


def pixels_of(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def cifar10(tmp_path, python2) -> Path:
    """Five batches of two images and three to test."""
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for number in range(1, 6):
        held = batch(pixels_of(2, number), labels=[number, 9], batch_label=f"training batch {number} of 5")
        (root / f"data_batch_{number}").write_bytes(python2(held))
    held = batch(pixels_of(3, 0), labels=[3, 8, 8], batch_label="testing batch 1 of 1")
    (root / "test_batch").write_bytes(python2(held))
    meta = {"num_cases_per_batch": 10000, "label_names": NAMES, "num_vis": 3072}
    (root / "batches.meta").write_bytes(python2(meta))
    (root / "readme.html").write_text("<html></html>")
    return root


@pytest.fixture
def cifar100(tmp_path, python2) -> Path:
    root = tmp_path / "cifar-100-python"
    root.mkdir()
    for name, fine, coarse in (("train", [0, 1, 3], [2, 1, 0]), ("test", [1, 2], [1, 0])):
        held = batch(pixels_of(len(fine), 7), fine_labels=fine, coarse_labels=coarse, batch_label=name)
        (root / name).write_bytes(python2(held))
    (root / "meta").write_bytes(python2({"fine_label_names": FINE, "coarse_label_names": COARSE}))
    return root


def declared(root: Path, **fields) -> Cifar:
    fields = {"retrieval": {"query": "test", "gallery": "train"}, "vocabulary": "none"} | fields
    return Cifar(layout="cifar", root=root, **fields)


def test_the_miniature_of_cifar10(cifar10, tmp_path) -> None:
    sizes = {"train": {"images": 10, "classes": 6}, "test": {"images": 3, "classes": 2}}
    items = prepare(declared(cifar10, sizes=sizes), tmp_path).items
    images = manifest.select(items, "image")
    assert images[images["split"] == "test"][["id", "path", "label.class"]].to_numpy().tolist() == [
        ["test/000000", "images.tar/test/000000.png", "cat"],
        ["test/000001", "images.tar/test/000001.png", "ship"],
        ["test/000002", "images.tar/test/000002.png", "ship"],
    ]
    train = images[images["split"] == "train"]
    assert train["label.class"].tolist() == [
        name for number in range(1, 6) for name in (NAMES[number], "truck")
    ]
    assert train["id"].tolist() == [f"train/{number:06d}" for number in range(10)]
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts["text"].tolist() == [f"a photo of a {name}." for name in NAMES]
    assert prompts["label.class"].tolist() == NAMES


def test_pixels_are_kept(cifar10, tmp_path) -> None:
    items = prepare(declared(cifar10), tmp_path).items
    for split, number, seed, row in (("test", 2, 0, 2), ("train", 0, 1, 0), ("train", 7, 4, 1)):
        path = f"images.tar/{split}/{number:06d}.png"
        image = decode(path, read_bytes(tmp_path, path))
        np.testing.assert_array_equal(np.asarray(image), pixels_of(row + 1, seed)[row])
    assert image.mode == "RGB" and items["digest"].notna().all()


def test_equal_sets_make_equal_bytes(cifar10, tmp_path) -> None:
    tars = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        read(declared(cifar10), tmp_path / name)
        assert os.listdir(tmp_path / name) == ["images.tar"]
        tars.append((tmp_path / name / "images.tar").read_bytes())
    assert tars[0] == tars[1]


def test_the_miniature_of_cifar100(cifar100, tmp_path) -> None:
    items = prepare(declared(cifar100, class_names={"bear": "brown bear"}), tmp_path).items
    images = manifest.select(items, "image", "train")
    assert images["label.class"].tolist() == ["apple", "aquarium_fish", "bear"]
    assert images["label.coarse"].tolist() == ["food_containers", "fish", "aquatic_mammals"]
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts["text"].tolist() == [
        *("a photo of a apple.", "a photo of a aquarium fish.", "a photo of a baby.", "a photo of a brown bear."),
        *("a photo of a aquatic mammals.", "a photo of a fish.", "a photo of a food containers."),
    ]  # fmt: skip
    assert prompts["label.coarse"].tolist() == [None, None, None, None, *COARSE]


def test_500_real_images(real, tmp_path, python2) -> None:
    """Of the test split, put into a batch as it is in the archive."""
    held = np.load(real / "clip-vit-b32" / "cifar10_500.npz")
    pixels, labels = held["images"], held["labels"]
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        few = slice(None) if name == "test_batch" else slice(1)
        (root / name).write_bytes(python2(batch(pixels[few], labels=labels[few].tolist())))
    (root / "batches.meta").write_bytes(python2({"label_names": NAMES}))
    items = manifest.select(prepare(declared(root), tmp_path).items, "image", "test")
    assert items["label.class"].tolist() == [NAMES[number] for number in labels]
    for path, image in zip(items["path"], pixels, strict=True):
        np.testing.assert_array_equal(np.asarray(decode(path, read_bytes(tmp_path, path))), image)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("batches.meta", None, r"has neither batches.meta \(CIFAR-10\) nor meta \(CIFAR-100\): unpack cifar-10"),
        ("data_batch_3", None, r"batch .*data_batch_3 can't be read: No such file"),
        ("data_batch_3", b"", r"data_batch_3: no whole pickle .*unpack it again"),
        ("test_batch", [1, 2], "test_batch holds a list, not CIFAR's dict"),
        ("test_batch", {"labels": [1]}, "test_batch: data is object"),
        ("test_batch", {"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, "labels are not 2 numbers"),
        ("test_batch", {"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, "not 1 numbers below 10"),
        ("test_batch", {"data": np.zeros((1, 3072), np.uint8), "labels": [-2]}, "not 1 numbers below 10, or -1"),
        ("test_batch", {"data": np.zeros((1, 1024), np.uint8), "labels": [1]}, r"data is uint8 \(1, 1024\)"),
        ("batches.meta", {"label_names": []}, "no list of names 'label_names'"),
    ],
)  # fmt: skip
def test_files_that_are_missing_or_hold_something_else(cifar10, tmp_path, file, change, message) -> None:
    (cifar10 / file).unlink()
    if change is not None:
        (cifar10 / file).write_bytes(change if isinstance(change, bytes) else pickle.dumps(change, 2))
    with pytest.raises(DatasetError, match=message):
        read(declared(cifar10), tmp_path)
    assert not (tmp_path / "images.tar").exists(), "what was begun is not left there"


def test_a_pickle_that_would_execute(cifar10, tmp_path) -> None:
    (cifar10 / "test_batch").write_bytes(
        b"cos\nsystem\n(S'touch " + os.fsencode(tmp_path / "mark") + b"'\ntR."
    )
    with pytest.raises(DatasetError, match=r"test_batch: .*names os\.system, which is not executed"):
        read(declared(cifar10), tmp_path)
    assert not (tmp_path / "mark").exists()


def test_class_names_and_splits_that_there_are_not(cifar10, tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"class_names: .* has no class plane; its classes are airplane"):
        read(declared(cifar10, class_names={"plane": "aeroplane"}), tmp_path)
    with pytest.raises(ValueError, match="'val' is none of the splits read"):
        declared(cifar10, retrieval={"query": "val", "gallery": "train"})


def test_minus_one_is_no_class_whatever_the_keys_are(cifar100, tmp_path) -> None:
    held = batch(pixels_of(3, 7), fine_labels=[-1, 3, 0], coarse_labels=[1, -1, 0], batch_label="test")
    expected = [[None, COARSE[1]], [FINE[3], None], [FINE[0], COARSE[0]]]
    for keys in (str, str.encode):
        (cifar100 / "test").write_bytes(pickle.dumps({keys(key): value for key, value in held.items()}))
        made = prepare(declared(cifar100), tmp_path)
        images = manifest.select(made.items, "image", "test")
        assert images[["label.class", "label.coarse"]].to_numpy().tolist() == expected
        assert "1 of 3 images of split test have no class (blank, or -1)" in made.notes


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_batches_that_were_read_with_bytes_and_pickled_again(request, tmp_path, kind, protocol) -> None:
    root = request.getfixturevalue(kind)
    (tmp_path / "once").mkdir()
    before = prepare(declared(root), tmp_path / "once").items
    for file in root.iterdir():
        if file.suffix != ".html":
            file.write_bytes(pickle.dumps(pickle.loads(file.read_bytes(), encoding="bytes"), protocol))
    assert b"label_names" in pickle.loads((root / "batches.meta").read_bytes()) if kind == "cifar10" else True
    (tmp_path / "twice").mkdir()
    pd.testing.assert_frame_equal(before, prepare(declared(root), tmp_path / "twice").items)
