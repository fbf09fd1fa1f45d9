"""Captions in COCO's JSON (Chen et al., 2015), as COCO and nocaps have them."""

from __future__ import annotations

from pathlib import Path

from crossgap.datasets.declared import Coco, DatasetError
from crossgap.datasets.readers.named import read_json, read_named, values
from crossgap.datasets.reading import Reading
from crossgap.errors import listed


def read(declaration: Coco, _folder: Path) -> Reading:
    """Images of every captions file; an image's captions in the file's order, the first the query.

    Raises:
        DatasetError: a file is missing, malformed or holds no captions, or an image is in two splits.
    """
    captions: dict[str, tuple[str, list[str]]] = {}
    parts = {}
    for split, name in declaration.captions.items():
        found = _of(declaration.root / name)
        if twice := sorted(found.keys() & captions.keys()):
            raise DatasetError(
                f"captions: split {split} has {len(twice)} images of another split ({listed(twice)}): name a file once"
            )
        captions |= {image: (split, texts) for image, texts in found.items()}
        parts[f"split {split}"] = list(found)
    return read_named(declaration, captions, parts)


def _of(file: Path) -> dict[str, list[str]]:
    """File name → captions, for all images of a captions file."""
    images, annotations = read_json(file, "captions", "images", "annotations")
    if not annotations:
        raise DatasetError(
            f"{file} has no annotations: of COCO's test images there are no captions to be had"
        )
    names: dict[object, str] = {}
    captions: dict[str, list[str]] = {}
    for number, row in enumerate(images):
        key, name = values(file, f"images[{number}]", row, id=(int, str), file_name=str)
        if key in names or name in captions:
            raise DatasetError(
                f"{file}: images[{number}] has id {key!r} and name {name!r}, one of them twice"
            )
        names[key], captions[name] = name, []
    for number, row in enumerate(annotations):
        where = f"annotations[{number}]"
        key, text = values(file, where, row, image_id=(int, str), caption=str)
        if key not in names:
            raise DatasetError(
                f"{file}: {where} is of image {key!r}, which `images` lacks: download it again"
            )
        captions[names[key]].append(text)
    return captions
