"""Datasets: what `params.yaml` says of one, by its layout on disk. Readers and images are in the modules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Split = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class DatasetError(ValueError):
    """A dataset can't be used as declared; the message names the items and the remedy."""


class Retrieval(BaseModel):
    """What evaluation asks of a dataset: the splits that queries and gallery come from, and the labellings.

    Where both splits are the same, a query is left out of its own gallery.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: Split = "test"
    gallery: Split = "test"
    labellings: list[str] | None = Field(None, description="which count as relevance; all, if not given")


class Dataset(BaseModel):
    """What every declaration has. `retrieval` is always written out, since DVC watches it by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    retrieval: Retrieval


class World(Dataset):
    """The embedded world, rendered by the `prepare` stage."""

    layout: Literal["world"]
    seed: int = Field(0, ge=0)
    images: dict[Literal["train", "test"], Annotated[int, Field(ge=1)]] = Field(description="split → images")

    def images_root(self, folder: Path) -> Path:
        """What the manifest's paths are relative to, given the folder that the dataset was prepared in."""
        return folder

    @model_validator(mode="after")
    def _known_splits(self) -> World:
        _check_splits(self.retrieval, list(self.images))
        return self


class Folder(Dataset):
    """Images that the user has, in a folder that may hold tars, or in one tar; paths start at the project."""

    root: Path
    on_problem: Literal["error", "set_aside"] = Field("error", description="what a bad item leads to")
    max_images: int | None = Field(None, ge=1, description="keep those whose hashed ids come first")
    revision: int = Field(1, ge=0, description="raise it when the files change: DVC does not hash them")

    def images_root(self, _folder: Path) -> Path:
        """What the manifest's paths are relative to."""
        return self.root


class Captions(Folder):
    """Images and a CSV of captions, one a row; images of one split unless the CSV has a column for it."""

    layout: Literal["captions"]
    captions: Path
    image_column: str = "image"
    caption_column: str = "caption"
    split_column: str | None = Field(None, description="`split`, where the CSV has one, if not given")


class ImageFolder(Folder):
    """Labelled images under the root as `<class>/<image>` or, with splits, `<split>/<class>/<image>`."""

    layout: Literal["imagefolder"]
    labelling: ClassVar[str] = "class"
    splits: list[Split] | None = Field(None, description="folders to read; the split is `test` if not given")
    class_names: dict[str, str] = Field({}, description="folder → how prompts name it; `_` reads as a space")
    templates: list[str] = Field(["a photo of a {}."], min_length=1)

    @field_validator("templates")
    @classmethod
    def _one_slot(cls, templates: list[str]) -> list[str]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(f"{template!r} needs exactly one {{}}, the place of the class name")
        return templates

    @model_validator(mode="after")
    def _known_splits(self) -> ImageFolder:
        _check_splits(self.retrieval, self.splits if self.splits is not None else ["test"])
        return self


def _check_splits(retrieval: Retrieval, read: list[str]) -> None:
    for field in ("query", "gallery"):
        if (split := getattr(retrieval, field)) not in read:
            raise ValueError(f"retrieval.{field}: {split!r} is none of the splits read ({', '.join(read)})")


Declaration = Annotated[World | Captions | ImageFolder, Field(discriminator="layout")]
