"""Published sets whose lists or images lie in pickles, archives or another library's format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from crossgap.datasets.declared.base import Classified, Exported, OnDisk, Split
from crossgap.strict import FilePath

CaptionLines = Annotated[
    bool | None,
    Field(description="whether each line of an image's text is a caption; as the texts show, if not given"),
]


class Revisited(OnDisk):
    """ROxford5k and RParis6k (Radenovic et al., CVPR 2018): `jpg/` and the pickle `gnd_<set>.pkl`.

    Queries are cropped to their boxes; relevance is the judgements `easy`, `medium` and `hard`.
    """

    layout: Literal["revisited"]
    ground_truth: str = Field(description="such as gnd_roxford5k.pkl")
    crop_queries: bool = Field(True, description="whether queries are cropped to their boxes")
    distractors: str | None = Field(
        None,
        description="folder in `root` with revisitop1m.txt and its million images, which join the gallery",
    )

    @property
    def splits_read(self) -> Sequence[str]:
        return "query", "gallery"


class Cifar(Classified, Exported):
    """CIFAR-10 and CIFAR-100, the version for Python: pickles, which are read without being executed."""

    layout: Literal["cifar"]

    @property
    def splits_read(self) -> Sequence[str]:
        return "train", "test"


class HuggingFace(Classified, Exported):
    """A data set of Hugging Face's `datasets`, by its id on the hub or a local folder of its files."""

    layout: Literal["huggingface"]
    id: str = Field(description="on the hub, or a local folder")
    root: FilePath = Field(description="where it lies, if not where `id` says")
    config: str | None = Field(None, description="which of its configurations")
    commit: str | None = Field(None, description="revision on the hub")
    splits: dict[Split, str] = Field(min_length=1, description="split → the name it has there")
    image_column: str | None = Field("image", description="null, where there are only texts")
    label_column: str | None = Field(None, description="column of classes")
    text_column: str | None = Field(None, description="a string, or a list of captions")
    caption_lines: CaptionLines = None

    @model_validator(mode="before")
    @classmethod
    def _at_its_id(cls, fields: Any) -> Any:
        return {"root": fields["id"], **fields} if isinstance(fields, dict) and "id" in fields else fields

    @model_validator(mode="after")
    def _anything(self) -> HuggingFace:
        if self.image_column is None and self.text_column is None:
            raise ValueError("image_column and text_column are both null: name the column of images or texts")
        return self

    @property
    def splits_read(self) -> list[str]:
        return list(self.splits)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What there can be of it."""
        return ("text",) if self.image_column is None else ("image", "text")


class Torchvision(Classified, Exported):
    """A labelled set of torchvision's, by the name of its class, such as OxfordIIITPet."""

    layout: Literal["torchvision"]
    name: str = Field(description="of the class in torchvision.datasets")
    splits: dict[Split, dict[str, Any]] = Field(min_length=1, description="split → arguments of the class")
    download: bool = Field(False, description="whether torchvision may download it")

    @property
    def splits_read(self) -> list[str]:
        return list(self.splits)

    @model_validator(mode="after")
    def _classes_alone(self) -> Torchvision:
        for split, arguments in self.splits.items():
            if other := [name for name in arguments if name.startswith("target_type")]:
                raise ValueError(
                    f"splits.{split}: {other[0]} can't be given: labels are the classes of the set"
                )
        return self


class Table(Classified):
    """A table of one's own, CSV, parquet or .jsonl: a row an image, a text, or an image and a caption of it.

    Attributes:
        columns: that a table can have, in words; one of `path` and `text` it must have.
    """

    columns: ClassVar[dict[str, str]] = {
        "path": "of an image, from `root`; beside `text`, the image that this text is a caption of",
        "text": "a text; further rows with the same path are further captions",
        "id": "unique; an image's path without the ending, and a hash of a text, where there is none",
        "split": "test, where there is none",
        "group": "of a text: the id or path of the image whose caption it is",
        "rank": "of a caption: a whole number, by which an image's captions are ordered",
        "box": "of an image: the part to be cropped out, left upper right lower in pixels",
        "label": "the class of the image, or of the text in a row without a path; blank or -1: none",
        "label.<labelling>": "the same, for any number of labellings",
    }
    layout: Literal["table"]
    table: FilePath = Field(description="file, from `root`")

    @property
    def paths(self) -> dict[str, Path]:
        return {**super().paths, "table": self.root / self.table}


class WebDataset(Classified):
    """Uncompressed tars of samples: files of one name are one sample, an image with its caption or class."""

    layout: Literal["webdataset"]
    splits: dict[Split, str] = Field(
        min_length=1, description="split → pattern of its tars, such as train-*.tar"
    )
    caption: str = Field("txt", description="ending of captions, or a `json` and its key: json:caption")
    caption_lines: CaptionLines = None

    @property
    def splits_read(self) -> list[str]:
        return list(self.splits)

    @model_validator(mode="after")
    def _key_named(self) -> WebDataset:
        if self.caption.endswith("json"):
            raise ValueError(f"caption: {self.caption!r} needs the key of captions: {self.caption}:caption")
        return self
