"""Stanford Online Products (Song et al., Deep Metric Learning via Lifted Structured Feature Embedding, CVPR 2016)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crossgap.datasets.declared import DatasetError, Sop
from crossgap.datasets.readers.lists import reading, require, table
from crossgap.datasets.reading import Listed, Reading
from crossgap.prepared import manifest

_HEADER = "image_id class_id super_class_id path"


def read(declaration: Sop, _folder: Path) -> Reading:
    """Images by `Ebay_<split>.txt`; the label of category is its folder without "_final", that of product `class_id`.

    Raises:
        DatasetError: a list is missing or malformed, or what `crossgap.datasets.readers.lists.reading` raises.
    """
    images, products = [], {}
    for split in declaration.splits_read:
        file = require(declaration.root, f"Ebay_{split}.txt")
        for line, (_, product, _, path) in _rows(file):
            folder, _, image = path.partition("/")
            if not image:
                raise DatasetError(
                    f"{file} line {line}: {path!r} is not <category>_final/<image>: unpack it again"
                )
            images.append(Listed(path, split, folder.removesuffix("_final")))
            products[path] = product
    names = {category: category.replace("_", " ") for *_, category in images if category is not None}
    found = reading(declaration, images, names)
    labels = [products.get(path) for path in found.frame["path"]]
    found.frame[f"{manifest.LABEL}product"] = pd.Series(labels, dtype=object)
    return found


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    (_, header), *rows = table(file, _HEADER)
    if header != _HEADER.split():
        raise DatasetError(
            f"{file} line 1: the header is {' '.join(header)!r}, not {_HEADER!r}: unpack it again"
        )
    return rows
