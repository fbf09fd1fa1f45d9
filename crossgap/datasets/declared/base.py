"""What every declaration of a dataset in `params.yaml` has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from crossgap.controls import check_arithmetic, check_subsets
from crossgap.datasets import templates as known_templates
from crossgap.errors import DatasetError as DatasetError
from crossgap.strict import FilePath, Strict, unquoted

# files are named after names and splits, and may have 255 letters; no dots: DVC takes them for levels of params.yaml
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$"
Name = Annotated[str, Field(pattern=NAME)]
SIMAT = "simat"  # `transformations.SIMAT`, whose module costs pandas
SPLIT = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Split = Annotated[str, Field(pattern=SPLIT)]
_VOCABULARIES = ("imagenet", "world", "none")
_STYLES = ("generic", "world", "none")


def _known_vocabulary(name: str) -> str:
    if name not in _VOCABULARIES and not name.endswith(".txt"):
        raise ValueError(
            f"{name!r} is none of {', '.join(_VOCABULARIES)} and no .txt file with a name a line"
        )
    return name


def _known_styles(name: str) -> str:
    if name not in _STYLES and not name.endswith(".txt"):
        raise ValueError(f"{name!r} is none of {', '.join(_STYLES)} and no .txt file with a style a line")
    return name


Vocabulary = Annotated[str, AfterValidator(_known_vocabulary)]
Styles = Annotated[str, AfterValidator(_known_styles)]


class Retrieval(Strict):
    """What evaluation asks of a dataset: the splits that queries and gallery come from, and the labellings.

    Where both splits are the same, a query is left out of its own gallery.
    """

    query: Split = "test"
    gallery: Split = "test"
    labellings: list[str] | None = Field(None, description="which count as relevance; all, if not given")


class Controls(Strict):
    """Further settings of evaluation: the split for class means, controls, the protocol, the published name.

    Attributes:
        support: the labelled split that class means and few-shot prototypes are made from. If not given, the gallery's
            split, where queries have another.
        subsets: name → a labelling and some of its classes; a relevance of this name counts these classes alone.
        arithmetic: labelling → another: images are asked for by text with a class of the one changed and that of the
            other kept (see `crossgap.metrics.arithmetic.by_labels`).
        composed: labelling → a text with `{}` for one of its classes, as its prompts call it: images are asked for by
            an image and that text, with that class and all other labels the same (see
            `crossgap.datasets.composing.by_labels`).
        protocol: how explicit judgements are measured; `revisited` as ROxford and RParis are (Radenovic et al., 2018).
        published: the dataset's name in published tables, if not its own.
    """

    support: Split | None = None
    subsets: dict[Name, dict[str, list[str]]] = Field({})
    arithmetic: dict[str, str] = Field({})
    composed: dict[str, str] | None = None
    protocol: Literal["plain", "revisited"] = "plain"
    published: str | None = None

    @field_validator("subsets")
    @classmethod
    def _one_labelling(cls, subsets: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
        check_subsets(subsets)
        for name, confined in subsets.items():
            ((labelling, classes),) = confined.items()
            if len(classes) < 2 or len(set(classes)) < len(classes):
                raise ValueError(
                    f"{name!r} names the classes {', '.join(classes) or 'none'} of {labelling!r}: "
                    "give two or more, each once"
                )
            if name in ("group", labelling):
                raise ValueError(f"{name!r} is a relevance already: name the subset otherwise")
        return subsets

    @field_validator("composed")
    @classmethod
    def _one_slot(cls, composed: dict[str, str] | None) -> dict[str, str] | None:
        for labelling, text in (composed or {}).items():
            if text.count("{}") != 1:
                raise ValueError(
                    f"{labelling!r} asks {text!r}: give exactly one {{}}, the place of the class"
                )
            unquoted(text)
        return composed

    @field_validator("arithmetic")
    @classmethod
    def _two_labellings(cls, arithmetic: dict[str, str]) -> dict[str, str]:
        check_arithmetic(arithmetic)
        if SIMAT in arithmetic:
            raise ValueError(f"{SIMAT!r} is SIMAT's own arithmetic: name the labelling otherwise")
        return arithmetic


class Dataset(Strict):
    """The fields of every declaration. `retrieval` has no default."""

    if TYPE_CHECKING:
        layout: str  # each kind has its own
    retrieval: Retrieval = Field(
        description="splits that queries and gallery come from, and the labellings that count"
    )
    controls: Controls = Field(Controls(), description="what else is measured: support, subsets, arithmetic")
    revision: int = Field(0, ge=0, description="raise it when the files change: DVC does not hash them")

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that its items can have."""
        return "image", "text"

    @property
    def paths(self) -> dict[str, Path]:
        """Field → the file or folder that it names, from the project's root."""
        words = {field: getattr(self, field, "") for field in ("vocabulary", "styles")}
        texts = {field: Path(value) for field, value in words.items() if value.endswith(".txt")}
        return {field: value for field, value in self if isinstance(value, Path)} | texts

    @property
    def splits_read(self) -> Sequence[str] | None:
        """The splits that reading gives; None where they are not known before."""
        return None

    @property
    def splits_used(self) -> dict[str, str]:
        """Field → the split that it names."""
        splits = {
            "retrieval.query": self.retrieval.query,
            "retrieval.gallery": self.retrieval.gallery,
            "controls.support": self.controls.support,
        }
        return {field: split for field, split in splits.items() if split is not None}

    @model_validator(mode="after")
    def _known_splits(self) -> Dataset:
        for field, split in self.splits_used.items():
            if self.splits_read is not None and split not in self.splits_read:
                raise ValueError(
                    f"{field}: {split!r} is none of the splits read ({', '.join(self.splits_read)})"
                )
        return self


class Size(Strict):
    """The published counts of a split; a count that is None is not compared."""

    images: int | None = Field(None, ge=0)
    texts: int | None = Field(None, ge=0)
    classes: int | None = Field(None, ge=1)


class OnDisk(Dataset):
    """A dataset that the user has on disk, in a folder; the folder's path starts at the project."""

    root: FilePath = Field(description="folder of its files, from the project's root")
    sizes: dict[Split, Size] = Field({}, description="split → what it must hold")
    on_problem: Literal["error", "set_aside"] = Field("error", description="what a bad item leads to")
    vocabulary: Vocabulary = Field(
        "imagenet", description="names that corrections are fitted on: imagenet, world, none or a .txt file"
    )
    styles: Styles = Field(
        "generic",
        description="what BASIC leaves out: generic, world, none or a .txt file; none without names",
    )

    def images_root(self, _folder: Path) -> Path:
        """What the manifest's paths are relative to, given the folder that the dataset was prepared in."""
        return self.root


class Exported(OnDisk):
    """Images that are no files of their own: `prepare` writes them into its folder, without loss."""

    def images_root(self, folder: Path) -> Path:
        return folder


class Classified(OnDisk):
    """Labelled images, and the prompts that name their classes.

    A label of -1 stands for unlabelled, unless `class_names` names it.
    """

    labelling: ClassVar[str] = "class"
    templates: list[str] = Field(["a photo of a {}."], min_length=1, description="or `coop/<set>`")
    class_names: dict[str, str] = Field(
        {}, description="label → how prompts name it, where not as the set does"
    )

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
            unquoted(template)
        return templates
