"""FGVC-Aircraft (Maji et al., Fine-Grained Visual Classification of Aircraft, 2013), folder `data` of its archive."""

from __future__ import annotations

from pathlib import Path

from crossgap.datasets.declared import Aircraft, DatasetError
from crossgap.datasets.readers.lists import reading, require, table
from crossgap.datasets.reading import Listed, Reading
from crossgap.errors import listed


def read(declaration: Aircraft, _folder: Path) -> Reading:
    """Images by `images_variant_<split>.txt`, labelled with one of the variants of `variants.txt`.

    Raises:
        DatasetError: a list or the images' folder is missing, a line is malformed or of an unknown variant, or what
            `crossgap.datasets.readers.lists.reading` raises.
    """
    root = declaration.root
    require(root, "images")
    variants = {name: name for _, (name,) in table(require(root, "variants.txt"), "variant")}
    images = []
    for split in declaration.splits_read:
        file = require(root, f"images_variant_{split}.txt")
        for number, (image, variant) in table(file, "image variant"):
            if variant not in variants:
                raise DatasetError(
                    f"{file} line {number}: {variant!r} is none of variants.txt ({listed(variants)}): "
                    "unpack the archive again"
                )
            images.append(Listed(f"images/{image}.jpg", split, variant))
    return reading(declaration, images, variants)
