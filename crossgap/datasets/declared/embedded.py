"""The embedded world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from crossgap.datasets.declared.base import Dataset, Vocabulary, check_splits


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
        check_splits(self, list(self.images))
        return self
