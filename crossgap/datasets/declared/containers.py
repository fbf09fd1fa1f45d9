"""Published sets whose lists or images lie in pickles, archives or another library's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from crossgap.datasets.declared.base import Classified, Exported, OnDisk, Split, check_splits


class Revisited(OnDisk):
    """ROxford5k and RParis6k (Radenovic et al., CVPR 2018): `jpg/` and the pickle `gnd_<set>.pkl`.

    Queries are cropped to their boxes; relevance is the judgements `easy`, `medium` and `hard`.
    """

    layout: Literal["revisited"]
    ground_truth: str = Field(description="such as gnd_roxford5k.pkl")
    crop_queries: bool = True
    distractors: str | None = Field(
        None, description="folder of the million other images, with revisitop1m.txt"
    )

    @model_validator(mode="after")
    def _known_splits(self) -> Revisited:
        check_splits(self, ["query", "gallery"])
        return self


class Cifar(Classified, Exported):
    """CIFAR-10 and CIFAR-100, the version for Python: pickles, which are read without being executed."""

    layout: Literal["cifar"]

    @model_validator(mode="after")
    def _known_splits(self) -> Cifar:
        check_splits(self, ["train", "test"])
        return self


class HuggingFace(Classified, Exported):
    """A data set of Hugging Face's `datasets`, by its id on the hub or a local folder of its files."""

    layout: Literal["huggingface"]
    root: Path = Field(Path("."), description="not used")
    id: str
    config: str | None = None
    commit: str | None = Field(None, description="revision on the hub")
    splits: dict[Split, str] = Field(min_length=1, description="split → the name it has there")
    image_column: str | None = "image"
    label_column: str | None = None
    text_column: str | None = Field(None, description="a string, or a list of captions")

    @model_validator(mode="after")
    def _known_splits(self) -> HuggingFace:
        check_splits(self, list(self.splits))
        return self


class Torchvision(Classified, Exported):
    """A labelled set of torchvision's, by the name of its class, such as OxfordIIITPet."""

    layout: Literal["torchvision"]
    name: str
    splits: dict[Split, dict[str, Any]] = Field(min_length=1, description="split → arguments of the class")
    download: bool = False

    @model_validator(mode="after")
    def _known_splits(self) -> Torchvision:
        check_splits(self, list(self.splits))
        return self


class Table(Classified):
    """A table of one's own, CSV or parquet, a row an item: see `crossgap.datasets.readers.table`."""

    layout: Literal["table"]
    table: Path


class WebDataset(Classified):
    """Uncompressed tars of samples: files of one name are one sample, an image with its caption or class."""

    layout: Literal["webdataset"]
    splits: dict[Split, str] = Field(
        min_length=1, description="split → pattern of its tars, such as train-*.tar"
    )
    caption: str = Field("txt", description="ending of captions, or a `json` and its key: json:caption")

    @model_validator(mode="after")
    def _known_splits(self) -> WebDataset:
        check_splits(self, list(self.splits))
        return self
