"""Readers, a module a layout: `read(declaration, folder)` gives a `Reading` and opens no image.

`folder` exists and is where `prepare` keeps what it makes of the dataset; a reader of `Exported` images writes them
there. To add one, write a module like `coop.py`, declare its layout in `crossgap.datasets.declared`, and name it in
`READERS`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from crossgap.datasets.declared import OnDisk
from crossgap.datasets.reading import Reading

# layout → module, imported when first used
READERS = {
    "aircraft": "crossgap.datasets.readers.aircraft",
    "beir": "crossgap.datasets.readers.beir",
    "captions": "crossgap.datasets.readers.captions",
    "cifar": "crossgap.datasets.readers.cifar",
    "circo": "crossgap.datasets.readers.circo",
    "cirr": "crossgap.datasets.readers.cirr",
    "coco": "crossgap.datasets.readers.coco",
    "coop": "crossgap.datasets.readers.coop",
    "cub": "crossgap.datasets.readers.cub",
    "documents": "crossgap.datasets.readers.documents",
    "dogs-vs-cats": "crossgap.datasets.readers.dogs_vs_cats",
    "fashioniq": "crossgap.datasets.readers.fashioniq",
    "flickr": "crossgap.datasets.readers.flickr",
    "huggingface": "crossgap.datasets.readers.huggingface",
    "icir": "crossgap.datasets.readers.icir",
    "imagefolder": "crossgap.datasets.readers.imagefolder",
    "imagenet": "crossgap.datasets.readers.imagenet",
    "karpathy": "crossgap.datasets.readers.karpathy",
    "mixbench": "crossgap.datasets.readers.mixbench",
    "revisited": "crossgap.datasets.readers.revisited",
    "sop": "crossgap.datasets.readers.sop",
    "table": "crossgap.datasets.readers.table",
    "torchvision": "crossgap.datasets.readers.torchvision",
    "webdataset": "crossgap.datasets.readers.webdataset",
}


def read(declaration: OnDisk, folder: Path) -> Reading:
    """The manifest of a declared dataset, its images listed but not yet opened.

    Raises:
        DatasetError: files are missing or malformed, or don't have the declared layout.
    """
    return import_module(READERS[declaration.layout]).read(declaration, folder)
