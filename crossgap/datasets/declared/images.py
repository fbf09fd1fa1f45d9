"""Published sets of labelled images, as their archives unpack; file names are relative to `root`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from crossgap.datasets.declared.base import Classified, Split


class Coop(Classified):
    """A set with one of CoOp's split files, `split_zhou_<set>.json`: train, val and test (Zhou et al., IJCV 2022)."""

    layout: Literal["coop"]
    split_file: str = Field(description="CoOp's split file")
    images: str = Field(".", description="folder or tar that the split file's paths start at")

    @property
    def splits_read(self) -> Sequence[str]:
        return "train", "val", "test"


class Aircraft(Classified):
    """FGVC-Aircraft, folder `data` of its archive: 100 variants by `images_variant_<split>.txt`."""

    layout: Literal["aircraft"]

    @property
    def splits_read(self) -> Sequence[str]:
        return "train", "val", "test"


class ImageNet(Classified):
    """ImageNet and what has its classes: `<folder>/<class>/<image>`; a class is a WordNet id or its number.

    Labels are WordNet ids. Names are open_clip's, unless the root has CoOp's `classnames.txt`.
    """

    layout: Literal["imagenet"]
    folders: dict[Split, str] = Field(min_length=1, description="split → folder")

    @property
    def splits_read(self) -> list[str]:
        return list(self.folders)


class Cub(Classified):
    """CUB-200-2011, by its own lists: one split `all`, as retrieval has it, or `train` and `test`."""

    layout: Literal["cub"]
    official_split: bool = Field(False, description="train and test in place of one split `all`")
    captions: str | None = Field(
        None, description="folder of captions, a file an image: text_c10 of Reed et al., CVPR 2016"
    )

    @property
    def splits_read(self) -> list[str]:
        return ["train", "test"] if self.official_split else ["all"]


class Sop(Classified):
    """Stanford Online Products, by `Ebay_train.txt` and `Ebay_test.txt`.

    Labelling `product` is the class of the benchmark and has no names; `category` is the twelve kinds.
    """

    layout: Literal["sop"]
    labelling: ClassVar[str] = "category"

    @property
    def splits_read(self) -> Sequence[str]:
        return "train", "test"


class DogsVsCats(Classified):
    """Dogs vs Cats of Kaggle, folder `train`: `cat.0.jpg`, `dog.0.jpg` and so on."""

    layout: Literal["dogs-vs-cats"]

    @property
    def splits_read(self) -> Sequence[str]:
        return ("train",)
