"""Stanford Online Products by its own lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from crossgap.datasets.declared import DatasetError, Sop
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

HEADER = "image_id class_id super_class_id path"
LISTS = {
    "train": [
        "1 1 1 bicycle_final/111085122871_0.JPG",
        "2 1 1 bicycle_final/111085122871_1.JPG",
        "3 2 4 coffee_maker_final/111174645780_0.JPG",
    ],
    "test": [
        "4 11319 1 bicycle_final/251952414262_0.JPG",
        "5 11319 1 bicycle_final/251952414262_1.JPG",
        "6 11320 1 bicycle_final/251952414263_0.JPG",
    ],
}


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "Stanford_Online_Products"
    for split, lines in LISTS.items():
        for line in lines:
            path = folder / line.split()[3]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (2, 2)).save(path, "JPEG")
        (folder / f"Ebay_{split}.txt").write_text("\n".join([HEADER, *lines]) + "\n")
    return folder


def declared(root: Path, **fields) -> Sop:
    retrieval = {"query": "test", "gallery": "test", "labellings": ["product"]}
    return Sop(layout="sop", root=root, **{"retrieval": retrieval, "vocabulary": "none"} | fields)


def test_the_miniature(root, tmp_path) -> None:
    sizes = {"train": {"images": 3, "classes": 2}, "test": {"images": 3, "classes": 2}}
    items = prepare(declared(root, sizes=sizes), tmp_path).items
    found = manifest.select(items, "image")[["path", "split", "label.category", "label.product"]]
    assert found.to_numpy().tolist() == [
        ["bicycle_final/111085122871_0.JPG", "train", "bicycle", "1"],
        ["bicycle_final/111085122871_1.JPG", "train", "bicycle", "1"],
        ["bicycle_final/251952414262_0.JPG", "test", "bicycle", "11319"],
        ["bicycle_final/251952414262_1.JPG", "test", "bicycle", "11319"],
        ["bicycle_final/251952414263_0.JPG", "test", "bicycle", "11320"],
        ["coffee_maker_final/111174645780_0.JPG", "train", "coffee_maker", "2"],
    ]
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts[["label.category", "label.product", "text"]].to_numpy().tolist() == [
        ["bicycle", None, "a photo of a bicycle."],
        ["coffee_maker", None, "a photo of a coffee maker."],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 1 1 bicycle_final/111085122871_0.JPG\n", r"Ebay_test\.txt line 1: the header is '1 1 1 .*', not 'image_id"),
        (f"{HEADER}\n4 11319 bicycle_final/1.JPG\n", r"Ebay_test\.txt line 2: '4 11319 bicycle.*' is not `image_id"),
        (f"{HEADER}\n4 11319 1 1.JPG\n", r"line 2: '1\.JPG' is not <category>_final/<image>"),
        (f"{HEADER}\n4 11319 1 bicycle_final/111085122871_0.JPG\n", r"1 images are listed more than once"),
        ("", r"Ebay_test\.txt is empty"),
    ],
)  # fmt: skip
def test_malformed_lists_are_told(text, said, root) -> None:
    (root / "Ebay_test.txt").write_text(text)
    with pytest.raises(DatasetError, match=said):
        read(declared(root), root)


def test_a_wrong_root_and_a_half_extracted_archive_are_told(root, tmp_path) -> None:
    with pytest.raises(DatasetError, match="nowhere is no folder"):
        read(declared(tmp_path / "nowhere"), root)
    with pytest.raises(
        DatasetError, match=r"has no Ebay_train\.txt: unpack the archive again, or mend `root`"
    ):
        read(declared(tmp_path), root)
    with pytest.raises(
        DatasetError, match=r"class_names: .* has no class mug; its classes are bicycle, coffee_maker"
    ):
        read(declared(root, class_names={"mug": "cup"}), root)
    (root / "bicycle_final" / "251952414262_1.JPG").unlink()
    with pytest.raises(DatasetError, match=r"bicycle_final/251952414262_1\.JPG: no such file"):
        prepare(declared(root), tmp_path)
    shutil.move(root / "coffee_maker_final", root / "coffee_maker")
    told = r"1 of 2 folders .*\(coffee_maker_final\); .*has others instead \(coffee_maker\)"
    with pytest.raises(DatasetError, match=told):
        read(declared(root), root)
