"""Sets of composed queries, an image and a text that says what is to differ, as their archives unpack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from crossgap.datasets.declared.base import OnDisk


class Cirr(OnDisk):
    """CIRR (Liu et al., ICCV 2021); images by name, anywhere under the root. Its split `test1` has no answers.

    The reference is left out of the ranking; a second ranking is among the other members of its set of six.
    """

    layout: Literal["cirr"]
    split: Literal["train", "val"] = Field("val", description="train or val")
    version: str = Field("rc2", description="in the names of its files")
    annotations: str = Field(".", description="folder of captions/ and image_splits/, from `root`")

    @property
    def splits_read(self) -> Sequence[str]:
        return (self.split,)


class FashionIq(OnDisk):
    """FashionIQ (Wu et al., CVPR 2021); images `<asin>.jpg` or `.png`, anywhere under the root.

    A category has its own gallery, of which the reference is a part. The two captions of a query are asked as one text,
    in both orders.
    """

    layout: Literal["fashioniq"]
    split: Literal["train", "val"] = Field("val", description="train or val")
    annotations: str = Field(".", description="folder of captions/ and image_splits/, from `root`")
    categories: list[Annotated[str, Field(pattern="^[a-z]+$")]] = Field(
        ["dress", "shirt", "toptee"], min_length=1, description="which are read"
    )

    @property
    def splits_read(self) -> Sequence[str]:
        return (self.split,)


class Circo(OnDisk):
    """CIRCO (Baldrati et al., ICCV 2023), split `val`, with several answers a query, among COCO's unlabelled images.

    The reference is a part of the gallery.
    """

    layout: Literal["circo"]
    queries: str = Field("annotations/val.json", description="its queries")
    images: str = Field(
        "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json", description="COCO's list of images"
    )

    @property
    def splits_read(self) -> Sequence[str]:
        return ("val",)


class Icir(OnDisk):
    """i-CIR (Psomas et al., NeurIPS 2025): splits `query` and `database`, each instance with its own gallery."""

    layout: Literal["icir"]

    @property
    def splits_read(self) -> Sequence[str]:
        return "query", "database"
