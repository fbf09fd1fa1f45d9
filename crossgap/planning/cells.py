"""The stages that params.yaml asks for, cell by cell, under the names that DVC gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from crossgap.params import Params

INVERSIONS = ("oti", "ovi", "sweep", "seeds")


@dataclass(frozen=True)
class Cell:
    """One run of a stage.

    Attributes:
        stage: as in dvc.yaml.
        item: what DVC puts behind the @; "" of a stage that is one.
        method: "oti" or "ovi", of an inversion.
        tokens: R, of the sweep.
    """

    stage: str
    item: str = ""
    backbone: str | None = None
    dataset: str | None = None
    method: str | None = None
    tokens: int | None = None

    @property
    def name(self) -> str:
        """DVC's."""
        return f"{self.stage}@{self.item}" if self.item else self.stage

    @property
    def queries_only(self) -> bool:
        """Whether neither the gallery nor class prompts are inverted."""
        return self.stage in ("sweep", "seeds")


def cells(params: Params) -> list[Cell]:
    """All cells, in the order of dvc.yaml; without the frozen stage `nano`, which never runs by itself."""
    run = params.run
    found = [Cell("check")]
    found += [Cell("pretrain", name) for name in params.pretrain]
    found += [Cell("prepare", name, dataset=name) for name in run.datasets]
    found += [Cell("finetune", name, dataset=row.dataset) for name, row in params.finetune.items()]
    found += [Cell("idealised", name, dataset=row.dataset) for name, row in params.idealised.items()]
    found += [Cell("weights", name, name) for name in run.backbones]
    found += _matrix("encode", run.backbones, run.datasets)
    found += _matrix("oti", run.oti.backbones, run.oti.datasets, method="oti")
    found += _matrix("ovi", run.ovi.backbones, run.ovi.datasets, method="ovi")
    for tokens in run.sweep.tokens:
        found += _matrix(
            "sweep", run.sweep.backbones, run.sweep.datasets, tokens, method="oti", tokens=tokens
        )
    for method, seed in product(run.seeds.methods, run.seeds.seeds):
        found += _matrix("seeds", run.seeds.backbones, run.seeds.datasets, method, seed, method=method)
    found += _matrix("evaluate", run.backbones, run.datasets)
    found += [Cell("evaluate-import", name) for name in run.imports]
    return [*found, Cell("report")]


def _matrix(
    stage: str, backbones: list[str], datasets: list[str], *beside: object, **of: object
) -> Iterator[Cell]:
    for backbone, dataset in product(backbones, datasets):
        yield Cell(stage, "-".join(map(str, (backbone, dataset, *beside))), backbone, dataset, **of)
