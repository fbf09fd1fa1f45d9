"""Karpathy's splits of COCO, Flickr30k and Flickr8k (Karpathy and Fei-Fei, CVPR 2015)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from crossgap.datasets.declared import DatasetError, Karpathy
from crossgap.datasets.readers.named import read_json, read_named, values
from crossgap.datasets.reading import Reading

_SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}


def read(declaration: Karpathy, _folder: Path) -> Reading:
    """Images by `filepath/filename`, or `filename` alone; captions are the sentences as they were written, `raw`.

    Raises:
        DatasetError: the file is missing or malformed, or has an image twice or of an unknown split.
    """
    file = declaration.root / declaration.captions
    (rows,) = read_json(file, "splits", "images")
    captions: dict[str, tuple[str, list[str]]] = {}
    parts = defaultdict(list)
    for number, row in enumerate(rows):
        where = f"images[{number}]"
        filename, split, sentences = values(file, where, row, filename=str, split=str, sentences=list)
        folder = row.get("filepath")
        name = f"{folder}/{filename}" if folder else filename
        if split not in _SPLITS:
            raise DatasetError(f"{file}: {where} is of split {split!r}, none of {', '.join(_SPLITS)}")
        if name in captions:
            raise DatasetError(f"{file}: {where} is {name}, which is there already: download it again")
        texts = [
            values(file, f"{where}.sentences[{place}]", sentence, raw=str)[0]
            for place, sentence in enumerate(sentences)
        ]
        captions[name] = _SPLITS[split], texts
        parts[f"folder {folder}" if folder else f"split {_SPLITS[split]}"].append(name)
    return read_named(declaration, captions, parts)
