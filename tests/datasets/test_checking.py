"""Sizes of splits against those declared."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from crossgap.datasets.declared import DatasetError, ImageFolder
from crossgap.datasets.preparing import prepare


def birds(root: Path, on_problem: str = "error", **sizes: dict[str, int]) -> ImageFolder:
    for name, count in {"wren": 3, "robin": 2}.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for place in range(count):
            Image.new("RGB", (4, 4), (place * 60, 0, 0)).save(root / name / f"{place}.png")
    fields = {"layout": "imagefolder", "root": root, "retrieval": {}, "on_problem": on_problem}
    return ImageFolder.model_validate({**fields, "sizes": sizes})


def test_a_split_of_the_declared_size_is_right(tmp_path) -> None:
    made = prepare(birds(tmp_path / "a", test={"images": 5, "texts": 0, "classes": 2}), tmp_path)
    assert made.problems.empty


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"test": {"images": 6}}, "split test: another size: 5 images, 6 are declared"),
        ({"test": {"classes": 3}}, "split test: another size: 2 classes, 3 are declared"),
        ({"train": {"images": 5}}, "split train: another size: 0 images, 5 are declared"),
        ({"test": {"texts": 1}}, "split test: another size: 0 texts, 1 are declared"),
    ],
)
def test_another_size_is_an_error_with_both_counts_and_the_remedy(tmp_path, sizes, told) -> None:
    with pytest.raises(DatasetError, match=f"(?s)1 × another size.*{told}: unpack the archive again"):
        prepare(birds(tmp_path / "a", **sizes), tmp_path)


def test_another_size_can_be_set_aside_and_is_listed(tmp_path) -> None:
    made = prepare(birds(tmp_path / "a", "set_aside", test={"images": 6}), tmp_path)
    assert made.problems["item"].tolist() == ["split test"]
    assert (made.items["split"] == "test").sum() == 5
