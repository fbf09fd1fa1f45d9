"""Readers, a module a layout: `read(declaration, folder)` gives a `Reading` and opens no image.

`folder` exists and is where `prepare` keeps what it makes of the dataset; a reader of `Exported` images writes them
there. To add one, write a module like `coop.py`, declare its layout in `crossgap.datasets.declared`, and name it in
`READERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossgap.datasets.declared import OnDisk
from crossgap.datasets.readers import (
    aircraft,
    beir,
    captions,
    cifar,
    coco,
    coop,
    cub,
    documents,
    dogs_vs_cats,
    flickr,
    huggingface,
    imagefolder,
    imagenet,
    karpathy,
    revisited,
    sop,
    table,
    torchvision,
    webdataset,
)
from crossgap.datasets.reading import Reading

READERS: dict[str, Callable[[Any, Path], Reading]] = {
    "aircraft": aircraft.read,
    "beir": beir.read,
    "captions": captions.read,
    "cifar": cifar.read,
    "coco": coco.read,
    "coop": coop.read,
    "cub": cub.read,
    "documents": documents.read,
    "dogs-vs-cats": dogs_vs_cats.read,
    "flickr": flickr.read,
    "huggingface": huggingface.read,
    "imagefolder": imagefolder.read,
    "imagenet": imagenet.read,
    "karpathy": karpathy.read,
    "revisited": revisited.read,
    "sop": sop.read,
    "table": table.read,
    "torchvision": torchvision.read,
    "webdataset": webdataset.read,
}


def read(declaration: OnDisk, folder: Path) -> Reading:
    """The manifest of a declared dataset, its images listed but not yet opened.

    Raises:
        DatasetError: files are missing or malformed, or don't have the declared layout.
    """
    return READERS[declaration.layout](declaration, folder)
