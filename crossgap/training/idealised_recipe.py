"""The recipe of an idealised experiment: a row of the section `idealised` of params.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from crossgap import naming
from crossgap.backbones import towers
from crossgap.datasets import Name, Split
from crossgap.strict import Betas, Rate, Seed, Strict, once

Width = Annotated[int, Field(ge=2)]
BatchSize = Annotated[int, Field(ge=2)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Mismatched = Annotated[float, Field(ge=0, le=1)]
Gap = Annotated[float, Field(ge=0, lt=2)]


class Settings(Strict):
    """The settings of one training. The defaults are the paper's; it doesn't tell the number of epochs.

    `mismatched`, `shared` and `gap` are ours: each puts back one thing that the paper's experiment leaves out.
    """

    width: Width = Field(512, description="d, of the features")
    batch_size: BatchSize = Field(128, description="pairs that the loss compares")
    temperature: Temperature = Field(0.07, description="the paper's other version: 0.01")
    learn_temperature: bool = False
    lr: Rate = 1e-4
    betas: Betas = (0.9, 0.99)
    weight_decay: float = Field(0.0, ge=0)
    epochs: int = Field(100, ge=1)
    seed: Seed = Field(0, description="of the two encoders and the order of the pairs")
    mismatched: Mismatched = Field(0.0, description="share of the images whose partner is another's image")
    shared: bool = Field(False, description="one encoder for both sides of a pair")
    gap: Gap = Field(0.0, description="centroid distance at the start; 0: the clouds overlap")


class IdealisedSweep(Strict):
    """Further values of the settings of `run`, changed one at a time; each run is repeated with every seed."""

    widths: list[Width] = Field([])
    batch_sizes: list[BatchSize] = Field([])
    temperatures: list[Temperature] = Field([])
    mismatched: list[Mismatched] = Field([])
    gaps: list[Gap] = Field([])
    seeds: list[Seed] = Field([])

    @field_validator("*")
    @classmethod
    def _distinct(cls, values: list) -> list:
        return once(values)


class Toy(Strict):
    """Features so narrow that they can be drawn on a sphere; everything else is as in `run`."""

    width: int = Field(3, ge=3, le=3)
    images: int = Field(256, ge=2)
    batch_sizes: list[BatchSize] = Field([3, 8, 12], min_length=1)
    epochs: int = Field(100, ge=1)
    frames: int = Field(24, ge=2, description="points in time that are drawn, at most")


SWEPT = {
    "width": "widths",
    "batch_size": "batch_sizes",
    "temperature": "temperatures",
    "mismatched": "mismatched",
    "gap": "gaps",
}


def mismatched(share: float, images: int) -> int:
    """How many images are exchanged."""
    return round(share * images)


@dataclass(frozen=True)
class IdealisedRun:
    """One training: its settings, the number of images, and the number of frames that are kept."""

    settings: Settings
    images: int
    frames: int = 0


class Idealised(Strict):
    """Two encoders of one architecture, the same image twice (It's Not a Modality Gap, section 4).

    A share of pairs can be mismatched, one encoder can be both, and the clouds can start apart.

    Attributes:
        images: how many of the split are used, in the order of their hashed ids.
        architecture: a model of open_clip, or `local-dir:`; its vision tower's configuration is used, not its weights.
    """

    dataset: Name
    split: Split = "train"
    images: int = Field(2048, ge=2)
    architecture: str = "local-dir:data/backbones/nano"
    run: Settings = Settings()
    sweep: IdealisedSweep = IdealisedSweep()
    toy: Toy | None = None

    @field_validator("architecture")
    @classmethod
    def _of_open_clip(cls, name: str) -> str:
        if name.startswith((towers.HUB_PREFIX, towers.TIMM_PREFIX)):
            raise ValueError(f"{name!r} brings weights; name an architecture of open_clip, or a local-dir:")
        return name

    @model_validator(mode="after")
    def _fills_a_batch(self) -> Idealised:
        asked = [("run.batch_size", [self.run.batch_size], self.images)]
        asked.append(("sweep.batch_sizes", self.sweep.batch_sizes, self.images))
        if self.toy:
            asked.append(("toy.batch_sizes", self.toy.batch_sizes, self.toy.images))
            if self.toy.images > self.images:
                raise ValueError(
                    f"toy.images: {self.toy.images} is more than the {self.images} of images; give less"
                )
        for field, sizes, images in asked:
            if sizes and max(sizes) > images:
                raise ValueError(
                    f"{field}: {max(sizes)} is more than the {images} images; give less, or more images"
                )
        for run in self.runs.values():
            share = run.settings.mismatched
            if share and mismatched(share, run.images) < 2:
                raise ValueError(
                    f"mismatched: {share:g} of {run.images} images are fewer than two, which could be exchanged; give "
                    f"0, or {2 / run.images:.2g} at least"
                )
        return self

    @property
    def runs(self) -> dict[str, IdealisedRun]:
        """Name → training; the first is `base`, and equal trainings appear once."""
        seeds = dict.fromkeys([self.run.seed, *self.sweep.seeds])
        runs: dict[str, IdealisedRun] = {}
        for name, change in self._changes():
            for seed in seeds:
                settings = self.run.model_copy(update={**change, "seed": seed})
                run = IdealisedRun(settings, self.images)
                if run not in runs.values():
                    runs[name if seed == self.run.seed else f"{name}-seed-{seed}"] = run
        if self.toy:
            for size in self.toy.batch_sizes:
                change = {"width": self.toy.width, "epochs": self.toy.epochs, "batch_size": size}
                settings = self.run.model_copy(update=change)
                runs[f"toy-{size}"] = IdealisedRun(settings, self.toy.images, self.toy.frames)
        return runs

    def _changes(self) -> Iterator[tuple[str, dict[str, float]]]:
        yield "base", {}
        for setting, swept in SWEPT.items():
            for value in getattr(self.sweep, swept):
                yield f"{setting}-{naming.number(value)}", {setting: value}
