"""The section `run` of params.yaml: the cells that `dvc repro` computes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from crossgap.backbones import towers
from crossgap.datasets import Name
from crossgap.inversion.distil_recipe import Loss
from crossgap.strict import Seed, Strict, once


class Cells(Strict):
    """Every backbone of a list on every dataset of a list."""

    backbones: list[Name]
    datasets: list[Name]

    def has(self, backbone: str, dataset: str) -> bool:
        return backbone in self.backbones and dataset in self.datasets

    @field_validator("*")
    @classmethod
    def _distinct(cls, names: list) -> list:
        return once(names)


class Sweep(Cells):
    """The step × token study of OTI: `tokens` are the numbers R of pseudo-tokens beside the backbone's own."""

    tokens: list[Annotated[int, Field(ge=1)]]


class Seeds(Cells):
    """Inversions that are repeated with other seeds than the recipe's, by some methods."""

    methods: list[towers.Method]
    seeds: list[Seed]


class DistilledCells(Cells):
    """Inversions by φ, distilled on each of the datasets `sources`, by which methods' features and which losses."""

    sources: list[Name]  # YAML would read `on` as a truth value
    methods: list[towers.Method]
    losses: list[Loss]


class Run(Cells):
    """Every backbone on every dataset; which of these cells are inverted; which imports are evaluated."""

    oti: Cells
    ovi: Cells
    sweep: Sweep
    seeds: Seeds
    distil: DistilledCells
    imports: list[Name]

    @field_validator("backbones", "datasets", "imports")
    @classmethod
    def _distinct(cls, names: list) -> list:
        return once(names)

    @property
    def inversions(self) -> list[tuple[str, towers.Method, Cells]]:
        """Every request for inversions: the field that asks, the method, and the cells."""
        asked: list[tuple[str, towers.Method, Cells]] = [
            ("oti", "oti", self.oti),
            ("sweep", "oti", self.sweep),
            ("ovi", "ovi", self.ovi),
        ]
        asked += [("seeds", method, self.seeds) for method in self.seeds.methods]
        asked += [("distil", method, self.distil) for method in self.distil.methods]
        return [(f"run.{field}", method, cells) for field, method, cells in asked]
