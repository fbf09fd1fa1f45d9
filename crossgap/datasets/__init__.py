"""Datasets: what `params.yaml` says of one, by its layout on disk. Readers and images are in the modules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from crossgap.datasets import templates as known_templates

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"  # no dots: DVC takes them for levels of params.yaml
SIMAT = "simat"
Split = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
_VOCABULARIES = ("imagenet", "world", "none")


def _known_vocabulary(name: str) -> str:
    if name not in _VOCABULARIES and not name.endswith(".txt"):
        raise ValueError(
            f"{name!r} is none of {', '.join(_VOCABULARIES)} and no .txt file with a name a line"
        )
    return name


Vocabulary = Annotated[str, AfterValidator(_known_vocabulary)]


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


class Controls(BaseModel):
    """What else evaluation is told: what classes' means are made from, controls, the protocol, the published name.

    Attributes:
        support: labelled split that nearest class means and few-shot prototypes are made from; the gallery's, where
            it isn't the queries', if not given.
        subsets: name → a labelling and the classes of it that a relevance of this name is confined to.
        arithmetic: labelling → another: images are asked for by text with a class of the one changed and that of the
            other kept (see `crossgap.transformations.by_labels`).
        protocol: how explicit judgements are measured; `revisited` as ROxford and RParis are (Radenovic et al., 2018).
        published: the dataset's name in published tables, if not its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    support: Split | None = None
    subsets: dict[Annotated[str, Field(pattern=NAME)], dict[str, list[str]]] = {}
    arithmetic: dict[str, str] = {}
    protocol: Literal["plain", "revisited"] = "plain"
    published: str | None = None

    @field_validator("subsets")
    @classmethod
    def _one_labelling(cls, subsets: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
        for name, confined in subsets.items():
            if len(confined) != 1:
                raise ValueError(
                    f"{name!r} names the labellings {', '.join(confined) or 'none'}: give one, with its classes"
                )
            ((labelling, classes),) = confined.items()
            if len(classes) < 2 or len(set(classes)) < len(classes):
                raise ValueError(
                    f"{name!r} names the classes {', '.join(classes) or 'none'} of {labelling!r}: "
                    "give two or more, each once"
                )
            if name in ("group", labelling):
                raise ValueError(f"{name!r} is a relevance already: name the subset otherwise")
        return subsets

    @field_validator("arithmetic")
    @classmethod
    def _two_labellings(cls, arithmetic: dict[str, str]) -> dict[str, str]:
        for changed, kept in arithmetic.items():
            if changed == kept:
                raise ValueError(
                    f"{changed!r} can't be changed and kept: name another labelling that is kept"
                )
            if changed == SIMAT:
                raise ValueError(f"{SIMAT!r} is SIMAT's own arithmetic: name the labelling otherwise")
        return arithmetic


class Dataset(BaseModel):
    """What every declaration has. `retrieval` is always written out, since DVC watches it by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    retrieval: Retrieval
    controls: Controls = Controls()

    @property
    def splits_used(self) -> dict[str, str]:
        """Field → the split that it names."""
        splits = {
            "retrieval.query": self.retrieval.query,
            "retrieval.gallery": self.retrieval.gallery,
            "controls.support": self.controls.support,
        }
        return {field: split for field, split in splits.items() if split is not None}


class World(Dataset):
    """The embedded world, rendered by the `prepare` stage."""

    layout: Literal["world"]
    seed: int = Field(0, ge=0)
    images: dict[Literal["train", "test"], Annotated[int, Field(ge=1)]] = Field(description="split → images")
    vocabulary: Vocabulary = "world"

    def images_root(self, folder: Path) -> Path:
        """What the manifest's paths are relative to, given the folder that the dataset was prepared in."""
        return folder

    @model_validator(mode="after")
    def _known_splits(self) -> World:
        _check_splits(self, list(self.images))
        return self


class OnDisk(Dataset):
    """Images that the user has, in a folder that may hold tars, or in one tar; paths start at the project."""

    root: Path
    on_problem: Literal["error", "set_aside"] = Field("error", description="what a bad item leads to")
    vocabulary: Vocabulary = "imagenet"
    revision: int = Field(1, ge=0, description="raise it when the files change: DVC does not hash them")

    def images_root(self, _folder: Path) -> Path:
        """What the manifest's paths are relative to."""
        return self.root


class Folder(OnDisk):
    """Any images, as they lie there or as boxes say."""

    max_images: int | None = Field(None, ge=1, description="keep those whose hashed ids come first")
    judgements: Path | None = Field(None, description="file of relevant items, see `crossgap.judgements`")
    boxes: Path | None = Field(None, description="CSV of what images are cropped to")

    @model_validator(mode="after")
    def _all_that_is_judged(self) -> Folder:
        if self.judgements is not None and self.max_images is not None:
            raise ValueError("max_images would leave out judged items: remove it, or `judgements`")
        return self


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
    templates: list[str] = Field(["a photo of a {}."], min_length=1, description="or `coop/<set>`")

    @field_validator("templates", mode="before")
    @classmethod
    def _by_name(cls, templates: object) -> object:
        return known_templates.named(templates) if isinstance(templates, str) else templates

    @field_validator("templates")
    @classmethod
    def _one_slot(cls, templates: list[str]) -> list[str]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(f"{template!r} needs exactly one {{}}, the place of the class name")
        return templates

    @model_validator(mode="after")
    def _known_splits(self) -> ImageFolder:
        _check_splits(self, self.splits if self.splits is not None else ["test"])
        return self


class Simat(OnDisk):
    """SIMAT: regions of Visual Genome's images, which lie under the root, and transformations asked of them."""

    layout: Literal["simat"]
    tables: Path = Field(description="SIMAT's folder simat_db, see `crossgap.datasets.simat`")

    @model_validator(mode="after")
    def _known_splits(self) -> Simat:
        _check_splits(self, ["test"])
        return self


def _check_splits(declaration: Dataset, read: list[str]) -> None:
    for field, split in declaration.splits_used.items():
        if split not in read:
            raise ValueError(f"{field}: {split!r} is none of the splits read ({', '.join(read)})")


Declaration = Annotated[World | Captions | ImageFolder | Simat, Field(discriminator="layout")]
