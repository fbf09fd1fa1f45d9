"""The embedded world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from crossgap.datasets.declared.base import Dataset, Styles, Vocabulary

_COMPOSED = dict.fromkeys(("colour", "size", "texture", "place", "background"), "is {}")
COMPOSED = {"shape": "is a {}"} | _COMPOSED  # what composed queries ask, where `controls` don't say


class World(Dataset):
    """The embedded world, rendered by the `prepare` stage."""

    layout: Literal["world"]
    seed: int = Field(0, ge=0, description="of what the images show")
    images: dict[Literal["train", "test"], Annotated[int, Field(ge=1)]] = Field(description="split → images")
    vocabulary: Vocabulary = Field("world", description="names that corrections are fitted on")
    styles: Styles = Field("world", description="what BASIC leaves out; none without names")

    def images_root(self, folder: Path) -> Path:
        """What the manifest's paths are relative to, given the folder that the dataset was prepared in."""
        return folder

    @property
    def splits_read(self) -> list[str]:
        return list(self.images)
