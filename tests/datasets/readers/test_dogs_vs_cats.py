"""Kaggle's Dogs vs Cats."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from crossgap.datasets.declared import DatasetError, DogsVsCats
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest


@pytest.fixture
def root(tmp_path) -> Path:
    for name in ("train/cat.0.jpg", "train/cat.10.jpg", "train/dog.0.jpg", "test1/1.jpg"):
        (tmp_path / "dogs" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / "dogs" / name)
    return tmp_path / "dogs"


def declared(root: Path, **fields) -> DogsVsCats:
    fields = {"retrieval": {"query": "train", "gallery": "train"}, "vocabulary": "none"} | fields
    return DogsVsCats(layout="dogs-vs-cats", root=root, **fields)


def test_the_miniature(root, tmp_path) -> None:
    items = prepare(declared(root, sizes={"train": {"images": 3, "classes": 2}}), tmp_path).items
    assert manifest.select(items, "image")[["id", "split", "label.class"]].to_numpy().tolist() == [
        ["train/cat.0", "train", "cat"],
        ["train/cat.10", "train", "cat"],
        ["train/dog.0", "train", "dog"],
    ]
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts["text"].tolist() == ["a photo of a cat.", "a photo of a dog."]


@pytest.mark.parametrize("name", ["Cat/0.jpg", "cat.jpg", "bird.0.jpg", "1.jpg"])
def test_images_called_otherwise_are_told(name, root) -> None:
    (root / "train" / name).parent.mkdir(exist_ok=True)
    Image.new("RGB", (2, 2)).save(root / "train" / name)
    with pytest.raises(
        DatasetError, match=rf"1 of 4 images .* are not called as .*\({name}\).*`imagefolder`"
    ):
        read(declared(root), root)


def test_a_wrong_root_and_a_half_extracted_archive_are_told(root, tmp_path) -> None:
    with pytest.raises(DatasetError, match="nowhere is no folder"):
        read(declared(tmp_path / "nowhere"), root)
    with pytest.raises(DatasetError, match=r"has no train: unpack train\.zip there"):
        read(declared(tmp_path), root)
    (root / "train" / "cat.10.jpg").unlink()
    with pytest.raises(DatasetError, match="another size: 2 images, 3 are declared"):
        prepare(declared(root, sizes={"train": {"images": 3}}), tmp_path)
    for file in (root / "train").iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match="no images under"):
        read(declared(root), root)


def test_a_folder_within_one_of_its_name_is_told(root) -> None:
    (root / "train").rename(root / "inner")
    (root / "train").mkdir()
    (root / "inner").rename(root / "train/train")
    with pytest.raises(
        DatasetError, match=r"3 images are listed in train and lie one folder deeper, in train/train"
    ):
        read(declared(root), root)
