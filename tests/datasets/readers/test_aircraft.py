"""FGVC-Aircraft by its own lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from crossgap.datasets.declared import Aircraft, DatasetError
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

VARIANTS = ["707-320", "Boeing 717", "F-16A/B"]
LISTS = {
    "train": ["1025794 707-320", "0056978 Boeing 717", "0247883 F-16A/B"],
    "val": ["1058962 707-320"],
    "test": ["1514522 F-16A/B", "0747566 Boeing 717"],
}


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "fgvc_aircraft"
    (folder / "images").mkdir(parents=True)
    (folder / "variants.txt").write_text("\n".join(VARIANTS) + "\n")
    for split, lines in LISTS.items():
        (folder / f"images_variant_{split}.txt").write_text("\n".join(lines) + "\n")
        for line in lines:
            Image.new("RGB", (2, 2)).save(folder / "images" / f"{line[:7]}.jpg")
    Image.new("RGB", (2, 2)).save(folder / "images" / "9999999.jpg")  # listed nowhere
    return folder


def declared(root: Path, **fields) -> Aircraft:
    fields = {"retrieval": {"query": "test", "gallery": "train"}, "vocabulary": "none"} | fields
    return Aircraft(layout="aircraft", root=root, templates="coop/FGVCAircraft", **fields)


def test_the_miniature(root, tmp_path) -> None:
    sizes = {"train": {"images": 3, "classes": 3}, "val": {"images": 1, "classes": 1}, "test": {"images": 2}}
    items = prepare(declared(root, sizes=sizes), tmp_path).items
    assert manifest.select(items, "image")[["path", "split", "label.class"]].to_numpy().tolist() == [
        ["images/0056978.jpg", "train", "Boeing 717"],
        ["images/0247883.jpg", "train", "F-16A/B"],
        ["images/0747566.jpg", "test", "Boeing 717"],
        ["images/1025794.jpg", "train", "707-320"],
        ["images/1058962.jpg", "val", "707-320"],
        ["images/1514522.jpg", "test", "F-16A/B"],
    ]
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts[["label.class", "text"]].to_numpy().tolist() == [
        [variant, f"a photo of a {variant}, a type of aircraft."] for variant in VARIANTS
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("images_variant_val.txt", "1058962\n", r"images_variant_val\.txt line 1: '1058962' is not `image variant`"),
        ("images_variant_val.txt", "\n", r"images_variant_val\.txt is empty"),
        ("images_variant_val.txt", "1058962 747\n", r"line 1: '747' is none of variants\.txt \(707-320, Boeing 717"),
        ("images_variant_val.txt", "1025794 707-320\n", r"1 images are listed more than once \(images/1025794\.jpg\)"),
        ("variants.txt", "707-320\nBoeing 717\n", r"line 3: 'F-16A/B' is none of variants\.txt"),
    ],
)  # fmt: skip
def test_malformed_lists_are_told(name, text, said, root) -> None:
    (root / name).write_text(text)
    with pytest.raises(DatasetError, match=said):
        read(declared(root), root)


def test_a_wrong_root_and_a_half_extracted_archive_are_told(root, tmp_path) -> None:
    with pytest.raises(DatasetError, match="nowhere is no folder"):
        read(declared(tmp_path / "nowhere"), root)
    with pytest.raises(DatasetError, match="has no images: unpack the archive again, or mend `root`"):
        read(declared(tmp_path), root)
    (root / "images" / "0747566.jpg").unlink()
    with pytest.raises(DatasetError, match=r"images/0747566\.jpg: no such file"):
        prepare(declared(root), tmp_path)
    (root / "images_variant_test.txt").unlink()
    with pytest.raises(DatasetError, match=r"has no images_variant_test\.txt"):
        read(declared(root), root)
    shutil.rmtree(root / "images")
    with pytest.raises(DatasetError, match="has no images"):
        read(declared(root), root)
