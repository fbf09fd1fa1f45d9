"""The declarations: what a row of params.yaml can say of a dataset, for each layout. Nothing here reads a dataset."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from crossgap.datasets.declared.base import (
    NAME,
    SIMAT,
    Classified,
    Controls,
    Dataset,
    DatasetError,
    Exported,
    OnDisk,
    Retrieval,
    Size,
    Split,
)
from crossgap.datasets.declared.composed import Circo, Cirr, FashionIq, Icir
from crossgap.datasets.declared.containers import (
    Cifar,
    HuggingFace,
    Revisited,
    Table,
    Torchvision,
    WebDataset,
)
from crossgap.datasets.declared.embedded import World
from crossgap.datasets.declared.folders import Captions, Folder, ImageFolder, Simat
from crossgap.datasets.declared.images import Aircraft, Coop, Cub, DogsVsCats, ImageNet, Sop
from crossgap.datasets.declared.pairs import Coco, Flickr, Karpathy, MixBench
from crossgap.datasets.declared.texts import Beir, Documents, Texts

Declaration = Annotated[
    World | Captions | ImageFolder | Simat
    | Coop | Aircraft | ImageNet | Cub | Sop | DogsVsCats
    | Revisited | Cifar | HuggingFace | Torchvision | Table | WebDataset
    | Coco | Karpathy | Flickr | MixBench
    | Documents | Beir
    | Cirr | FashionIq | Circo | Icir,
    Field(discriminator="layout"),
]  # fmt: skip
LAYOUTS: dict[str, type[Dataset]] = {
    get_args(declared.model_fields["layout"].annotation)[0]: declared
    for declared in get_args(get_args(Declaration)[0])
}

__all__ = [
    "LAYOUTS", "NAME", "SIMAT", "Aircraft", "Beir", "Captions", "Cifar", "Circo", "Cirr", "Classified",
    "Coco", "Controls", "Coop", "Cub", "Dataset", "DatasetError", "Declaration", "Documents", "DogsVsCats",
    "Exported", "FashionIq", "Flickr", "Folder", "HuggingFace", "Icir", "ImageFolder", "ImageNet", "Karpathy",
    "MixBench", "OnDisk", "Retrieval", "Revisited", "Simat", "Size", "Sop", "Split", "Table", "Texts",
    "Torchvision", "WebDataset", "World",
]  # fmt: skip
