"""The stages that params.yaml asks for, cell by cell, under the names that DVC gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from crossgap.params import Params
from crossgap.planning.written import ENDING

ELSEWHERE = "elsewhere"
INVERSIONS = ("oti", "ovi", "sweep", "seeds", "distilled")
ALONE = ("resolve", "weights", "report")  # stages of one cell, in the dvc.yaml at the root
FOLDERS = {"evaluate-import": "evaluate"}  # stage → the stage whose folder it shares


@dataclass(frozen=True)
class StageCell:
    """One run of a stage.

    Attributes:
        stage: its name in dvc.yaml.
        words: the arguments of its command; empty for a stage of a single cell.
        backbone, dataset: empty for a stage that has none.
        method: "oti" or "ovi" for an inversion, else empty.
        tokens: R, the number of pseudo-tokens, for a cell of the sweep.
        seed: for a cell of the stage `seeds`.
        loss: the loss that φ is distilled by, for a cell that distils or that inverts by φ.
        on: the dataset that φ was distilled on, for a cell that inverts by it; the cell that distils has it as its
            `dataset`.
        source: the dataset that corrections are fitted on, for a cell of the stage `elsewhere`.
    """

    stage: str
    words: tuple[str, ...] = ()
    backbone: str = ""
    dataset: str = ""
    method: str = ""
    tokens: int | None = None
    seed: int | None = None
    loss: str | None = None
    on: str | None = None
    source: str | None = None

    @property
    def item(self) -> str:
        """The part of DVC's name behind the @: DVC joins the values of a matrix with «-»."""
        return "-".join(self.words)

    @property
    def folder(self) -> str:
        """The folder of the stage's script, below `stages`."""
        return FOLDERS.get(self.stage, self.stage)

    @property
    def name(self) -> str:
        """DVC's name of this cell, as `dvc repro` takes it."""
        if self.stage in ALONE:
            return self.stage
        return f"stages/{self.folder}/dvc.yaml:{self.stage}@{self.item}"

    @property
    def resolved(self) -> str:
        """The file that `resolve` writes for this cell, below the folder `data/resolved`."""
        return "/".join((self.folder, *self.words)) + ".json"

    @property
    def queries_only(self) -> bool:
        """Whether neither the gallery nor class prompts are inverted."""
        return self.stage in ("sweep", "seeds")

    @property
    def store(self) -> str:
        """The file of an inversion, in the folder of the backbone and dataset."""
        beside = [] if self.tokens is None else [str(self.tokens)]
        beside += [] if self.seed is None else [f"seed-{self.seed}"]
        beside += [self.loss, self.on] if self.loss and self.on else []
        return "-".join([self.method, *beside]) + ENDING

    @property
    def pointer(self) -> str:
        """The file of a cell of the stage `elsewhere`, in the folder of the backbone and dataset."""
        return f"{ELSEWHERE}-{self.source}.json"

    @property
    def phi(self) -> str:
        """The file of the φ that a cell distils or inverts by, below the folder of the distilled."""
        return f"{self.backbone}/{self.on or self.dataset}/{self.method}-{self.loss}.safetensors"


# the frozen stage `nano`, which trains the embedded backbone and never runs by itself
EMBEDDED = StageCell("pretrain", ("nano",))


def cells(params: Params) -> list[StageCell]:
    """All cells, in the order of a run; without `EMBEDDED`."""
    run = params.run
    found = [StageCell("resolve")]
    found += [StageCell("pretrain", (name,)) for name in params.pretrain]
    found += [StageCell("prepare", (name,), dataset=name) for name in run.datasets]
    found += [StageCell("finetune", (name,), dataset=row.dataset) for name, row in params.finetune.items()]
    found += [StageCell("idealised", (name,), dataset=row.dataset) for name, row in params.idealised.items()]
    found += [StageCell("weights")]
    found += _matrix("encode", run.backbones, run.datasets)
    found += _matrix("oti", run.oti.backbones, run.oti.datasets, method="oti")
    found += _matrix("ovi", run.ovi.backbones, run.ovi.datasets, method="ovi")
    for tokens in run.sweep.tokens:
        found += _matrix(
            "sweep", run.sweep.backbones, run.sweep.datasets, tokens, method="oti", tokens=tokens
        )
    for method, seed in product(run.seeds.methods, run.seeds.seeds):
        found += _matrix(
            "seeds", run.seeds.backbones, run.seeds.datasets, method, seed, method=method, seed=seed
        )
    distil = run.distil
    for method, loss in product(distil.methods, distil.losses):
        found += _matrix("distil", distil.backbones, distil.sources, method, loss, method=method, loss=loss)
    for on, method, loss in product(distil.sources, distil.methods, distil.losses):
        found += _matrix(
            "distilled", distil.backbones, distil.datasets, on, method, loss, method=method, loss=loss, on=on
        )
    for source in params.evaluate.fit_on.datasets:
        found += _matrix(ELSEWHERE, run.backbones, run.datasets, source, source=source)
    found += _matrix("evaluate", run.backbones, run.datasets)
    found += [StageCell("evaluate-import", (name,)) for name in run.imports]
    return [*found, StageCell("report")]


def _matrix(
    stage: str, backbones: list[str], datasets: list[str], *beside: object, **of: Any
) -> Iterator[StageCell]:
    for backbone, dataset in product(backbones, datasets):
        yield StageCell(stage, (backbone, dataset, *map(str, beside)), backbone, dataset, **of)
