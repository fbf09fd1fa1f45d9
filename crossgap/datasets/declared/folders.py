"""A user's own images, as they lie on the disk, and SIMAT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from crossgap.datasets.declared.base import Classified, OnDisk, Split
from crossgap.strict import FilePath


class Folder(OnDisk):
    """Any images, as they lie there or as boxes say."""

    max_images: int | None = Field(None, ge=1, description="keep those whose hashed ids come first")
    judgements: FilePath | None = Field(
        None, description="file of relevant items, see `crossgap.prepared.judgements`"
    )
    boxes: FilePath | None = Field(None, description="CSV of what images are cropped to")

    @model_validator(mode="after")
    def _all_that_is_judged(self) -> Folder:
        if self.judgements is not None and self.max_images is not None:
            raise ValueError("max_images would leave out judged items: remove it, or `judgements`")
        return self


class Captions(Folder):
    """Images and a CSV of captions, one a row; images of one split unless the CSV has a column for it."""

    layout: Literal["captions"]
    captions: FilePath = Field(description="the CSV, from the project's root")
    image_column: str = Field("image", description="column of file names, from `root`")
    caption_column: str = Field("caption", description="column of captions")
    split_column: str | None = Field(None, description="`split`, where the CSV has one, if not given")


class ImageFolder(Folder, Classified):
    """Labelled images under the root as `<class>/<image>` or, with splits, `<split>/<class>/<image>`."""

    layout: Literal["imagefolder"]
    splits: list[Split] | None = Field(None, description="folders to read; the split is `test` if not given")

    @property
    def splits_read(self) -> list[str]:
        return self.splits if self.splits is not None else ["test"]


class Simat(OnDisk):
    """SIMAT: regions of Visual Genome's images, which lie under the root, and transformations asked of them."""

    layout: Literal["simat"]
    tables: FilePath = Field(description="SIMAT's folder simat_db, see `crossgap.datasets.simat`")

    @property
    def splits_read(self) -> Sequence[str]:
        return ("test",)
