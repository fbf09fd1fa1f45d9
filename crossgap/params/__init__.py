"""`params.yaml` as a whole: read, joined with the catalogue, validated, and explained when it is wrong.

Only `planning`, the commands and the stage `resolve` use it; the rest of crossgap takes plain values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from crossgap.backbones import towers
from crossgap.catalogue import entries
from crossgap.controls import no_support
from crossgap.datasets import Declaration, Name
from crossgap.errors import like
from crossgap.params.migration import TRAININGS, moved
from crossgap.params.names import collisions
from crossgap.params.reading import ParamsError, parsed, refused, text_of
from crossgap.params.run import Run
from crossgap.params.sections import (
    BackboneSection,
    Distillings,
    Evaluate,
    Import,
    Machine,
    OtiSection,
    OviSection,
    PatchCount,
    Report,
    TokenCount,
    Weights,
)
from crossgap.params.wording import explain
from crossgap.strict import Strict
from crossgap.training.finetune_recipe import Finetune
from crossgap.training.idealised_recipe import Idealised
from crossgap.training.nano_recipe import NanoRecipe

__all__ = ["TRAINED", "Import", "Params", "ParamsError", "load"]

TRAINED = "local-dir:data/backbones/{}"  # the model of a backbone that a training makes
_KEPT = {
    "imports": "features computed elsewhere",
    "training": "trainings",
    "idealised": "idealised experiments",
}


class Params(Strict):
    """The sections of params.yaml.

    Attributes:
        backbones: name → row, of the catalogue and of params.yaml, which replaces a row of the same name; and of
            what the trainings make.
        datasets: name → row, of the catalogue and of params.yaml, which replaces a row of the same name.
    """

    run: Run
    imports: dict[Name, Import] = Field({})
    finetune: dict[Name, Finetune]
    pretrain: dict[Name, dict[str, Any]] = Field(
        description="fields of the embedded backbone's recipe that differ"
    )
    idealised: dict[Name, Idealised]
    oti: OtiSection
    ovi: OviSection
    distil: Distillings = Distillings()
    evaluate: Evaluate
    report: Report = Report()
    machine: Machine = Machine()
    backbones: dict[Name, BackboneSection]
    datasets: dict[Name, Declaration]

    @model_validator(mode="before")
    @classmethod
    def _joined(cls, raw: Any) -> Any:
        """The sections with the catalogue's rows added; one that is no mapping stays as it is and is refused later."""
        if not isinstance(raw, dict):
            return raw
        own: dict[entries.Section, Any] = {
            "backbones": raw.get("backbones", {}),
            "datasets": raw.get("datasets", {}),
        }
        return raw | {
            section: entries.rows(section) | rows for section, rows in own.items() if isinstance(rows, dict)
        }

    @model_validator(mode="after")
    def _declared(self) -> Params:
        self.backbones.update(self._made())
        wrong = [
            *self._undeclared(), *self._not_run(), *self._refused(), *self._supported(), *self._trainings(),
            *self._distilled(), *self._fitted(), *collisions(self.run, self.evaluate.fit_on.datasets)
        ]  # fmt: skip
        if wrong:
            raise ValueError("\n  ".join(wrong))
        return self

    def _made(self) -> dict[str, BackboneSection]:
        """The rows of trained backbones, each with the inversion settings of the backbone that it starts from."""
        bases = {name: training.backbone for name, training in self.finetune.items()}
        bases |= dict.fromkeys(self.pretrain, "nano")
        rows = {}
        for name, base in bases.items():
            counts = self.backbones.get(base)
            rows[name] = BackboneSection(
                weights=Weights(model=TRAINED.format(name)),
                oti=counts.oti if counts else TokenCount(),
                ovi=counts.ovi if counts else PatchCount(),
            )
        return rows

    @property
    def nano(self) -> NanoRecipe:
        """The recipe of the embedded backbone."""
        return NanoRecipe.model_validate(entries.nano())

    @property
    def trained(self) -> dict[str, str]:
        """The backbones that trainings make, and the section that has their recipe."""
        return {name: section for section in TRAININGS for name in getattr(self, section)}

    def pretrained(self, name: str) -> NanoRecipe:
        """The recipe of a row of `pretrain`: fields that the row does not name are those of the embedded backbone."""
        return NanoRecipe.model_validate({**entries.nano(), **self.pretrain[name]})

    def _undeclared(self) -> Iterator[str]:
        run = self.run
        fields = defaultdict(list)
        for field, names, section in [
            ("run.backbones", run.backbones, "backbones"),
            ("run.datasets", run.datasets, "datasets"),
            ("run.imports", run.imports, "imports"),
            ("run.distil.sources", run.distil.sources, "datasets"),
            ("evaluate.fit_on.datasets", self.evaluate.fit_on.datasets, "datasets"),
            *(
                (f"{field}.{kind}", getattr(cells, kind), kind)
                for field, cells in self._inverted()
                for kind in ("backbones", "datasets")
            ),
            *self._trained_on(),
        ]:
            for name in names:
                if name not in getattr(self, section):
                    fields[section, name].append(field)
        for (section, name), places in fields.items():
            declared = getattr(self, section)
            beside = "" if section == "imports" else ", nor in the catalogue"
            known = ", ".join(sorted(declared)) or "none"
            yield (
                f"{', '.join(places)}: {name!r} is not declared under {section}{beside}{like(name, declared)} "
                f"(known: {known})"
            )
        for name, of in _KEPT.items():
            if name in self.backbones:
                yield f"backbones: {name!r} is kept for {of}; name it otherwise"

    def _not_run(self) -> Iterator[str]:
        run = self.run
        for kind in ("backbones", "datasets"):
            fields = defaultdict(list)
            for field, cells in self._inverted():
                for name in getattr(cells, kind):
                    if name in getattr(self, kind) and name not in getattr(run, kind):
                        fields[name].append(f"{field}.{kind}")
            if kind == "datasets":
                for field, names in (
                    ("run.distil.sources", run.distil.sources),
                    ("evaluate.fit_on.datasets", self.evaluate.fit_on.datasets),
                ):
                    for name in names:
                        if name in self.datasets and name not in run.datasets:
                            fields[name].append(field)
            for name, places in fields.items():
                yield f"{', '.join(places)}: {name!r} is not in run.{kind}, so nothing of it is encoded"
        for field, names, _ in self._trained_on():
            if not field.endswith(".dataset") or names[0] not in self.datasets:
                continue
            if names[0] not in run.datasets:
                yield f"{field}: {names[0]!r} is not in run.datasets, so nothing of it is prepared"
            if "image" not in self.datasets[names[0]].modalities:
                yield f"{field}: {names[0]!r} has no images to train on; name a dataset with images and captions"
        if not ((run.backbones and run.datasets) or run.imports):
            yield "run: names nothing to evaluate; give backbones and datasets, or imports"

    def _refused(self) -> Iterator[str]:
        run = self.run
        for method in run.seeds.methods:
            if (seed := getattr(self, method).seed) in run.seeds.seeds:
                yield f"run.seeds.seeds: {seed} is {method}.seed, with which {method} runs anyway; give others"
        models = {
            name: self.backbones[name].weights.model for name in run.backbones if name in self.backbones
        }
        asked = [
            (field, method, cells.backbones) for field, method, cells in run.inversions if cells.datasets
        ]
        yield from towers.refusals(models, asked)

    def _supported(self) -> Iterator[str]:
        for section in ("datasets", "imports"):
            for name, row in getattr(self, section).items():
                if reason := no_support(row.controls.support, row.retrieval.query):
                    yield f"{section}.{name}.{reason}"

    def _trainings(self) -> Iterator[str]:
        """What is wrong with trainings: a name that is taken, or a backbone that a training can't start from."""
        for name, section in self.trained.items():
            if name in entries.rows("backbones"):
                yield f"{section}.{name}: the catalogue has a backbone {name!r}; name what is trained otherwise"
        for name in self.pretrain:
            if name in self.finetune:
                yield f"pretrain.{name}: finetune makes a backbone of this name; name one of them otherwise"
        for name, training in self.finetune.items():
            if maker := self.trained.get(training.backbone):
                yield (
                    f"finetune.{name}.backbone: {training.backbone!r} is made by {maker} itself; start from one "
                    "that isn't"
                )
            elif (base := self.backbones.get(training.backbone)) and base.weights.precision != "fp32":
                yield (
                    f"finetune.{name}.backbone: {training.backbone!r} has precision {base.weights.precision}; "
                    "parameters that learn are in fp32: name a row with it, and set finetune's own precision"
                )
        for name, changes in self.pretrain.items():
            try:
                self.pretrained(name)
            except ValidationError as error:
                for problem in error.errors():
                    place = ".".join(map(str, problem["loc"]))
                    yield f"pretrain.{name}.{place}: {problem['msg']} (got {changes.get(str(problem['loc'][0]))!r})"
        made = {TRAINED.format(name): name for name in self.trained}
        for name, row in self.backbones.items():
            if (maker := made.get(row.weights.model)) and maker != name:
                yield (
                    f"backbones.{name}: {row.weights.model} is made by {self.trained[maker]}.{maker}; "
                    f"use the backbone {maker!r}"
                )

    def _distilled(self) -> Iterator[str]:
        """φ is distilled on another split than the queries that it inverts, of whatever dataset."""
        distil = self.run.distil
        for method in distil.methods:
            steps = getattr(self.distil, method)
            if steps.step_lr is not None and steps.optimiser(getattr(self, method)) == "lbfgs":
                yield (
                    f"distil.{method}.step_lr: {steps.step_lr:g} is AdamW's, and lbfgs has none: leave it out, or give "
                    f"distil.{method}.step_optimiser: adamw"
                )
            for name in distil.sources:
                if (declared := self.datasets.get(name)) is None:
                    continue
                given, split = getattr(self.distil, method).split, self.distilled_on(method, name)
                field = f"distil.{method}.split" if given else f"datasets.{name}.controls.support"
                if split is None:
                    yield (
                        f"run.distil.sources: {name!r} has no support split to distil on: give "
                        f"datasets.{name}.controls.support, or distil.{method}.split"
                    )
                elif declared.splits_read is not None and split not in declared.splits_read:
                    yield (
                        f"{field}: {split!r} is none of the splits read of {name!r}{like(split, declared.splits_read)} "
                        f"({', '.join(declared.splits_read)})"
                    )
                elif name in distil.datasets and split == declared.retrieval.query:
                    yield (
                        f"{field}: {split!r} is the split of the queries of {name!r}, which φ inverts: it may not see "
                        f"them before; name another split, or take {name!r} out of run.distil.datasets"
                    )

    def _fitted(self) -> Iterator[str]:
        """Files of corrections that are for a backbone or an import that isn't there."""
        known = {*self.backbones, *self.imports, *(row.backbone for row in self.imports.values())}
        for name, row in self.evaluate.fit_on.files.items():
            if strangers := [one for one in row.backbones or () if one not in known]:
                yield (
                    f"evaluate.fit_on.files.{name}.backbones: {', '.join(strangers)} is no backbone and no import"
                    f"{like(strangers[0], known)}; "
                    "name those of run, or leave it out for all"
                )

    def distilled_on(self, method: str, dataset: str) -> str | None:
        """The split of a dataset that φ is distilled on."""
        return getattr(self.distil, method).split or self.datasets[dataset].controls.support

    def _trained_on(self) -> Iterator[tuple[str, list[str], str]]:
        for name, training in self.finetune.items():
            yield f"finetune.{name}.backbone", [training.backbone], "backbones"
        for section in ("finetune", "idealised"):
            for name, training in getattr(self, section).items():
                yield f"{section}.{name}.dataset", [training.dataset], "datasets"

    def _inverted(self) -> Iterator[tuple[str, object]]:
        return iter({field: cells for field, _, cells in self.run.inversions}.items())


def load(path: str | Path = "params.yaml") -> Params:
    """Read params.yaml as DVC does, join it with the catalogue and validate it.

    Raises:
        ParamsError: naming the file and, a line each, every wrong field, its value and what it should be.
    """
    return load_text(text_of(path), path)


def load_text(text: str, path: str | Path) -> Params:
    """As `load`, of the text of a params.yaml; the path is for messages."""
    raw = parsed(text, path)
    if lines := moved(raw):
        raise refused(path, lines)
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise refused(path, [explain(problem, Params) for problem in error.errors()]) from None
