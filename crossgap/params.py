"""`params.yaml` as a whole: read, validated, and explained when it is wrong.

Only stages and commands read it; the rest of crossgap is given plain values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crossgap.backbones import towers
from crossgap.datasets import NAME, Controls, Declaration, Retrieval
from crossgap.inversion.recipes import CHANGEABLE
from crossgap.inversion.recipes import Recipe as InversionRecipe
from crossgap.inversion.recipes import recipe as inversion_recipe
from crossgap.training.recipe import Recipe

_DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?)$"
_SHA256 = r"^[0-9a-f]{64}$"
_ADDRESS = r"^(auto|[^\s:/]+:\d+)$"
Name = Annotated[str, Field(pattern=NAME)]


class ParamsError(ValueError):
    """`params.yaml` can't be used; the message lists every field that is wrong."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def _once(names: list) -> list:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"named twice: {', '.join(map(str, twice))}")
    return names


class Sweep(Strict):
    """The step × token study of OTI: on which datasets, with which R beside the backbone's own."""

    datasets: list[Name]
    tokens: list[Annotated[int, Field(ge=1)]]

    @field_validator("datasets", "tokens")
    @classmethod
    def _distinct(cls, names: list) -> list:
        return _once(names)


class Seeds(Strict):
    """Inversions again with other seeds than the recipe's: on which datasets, by which methods, with which seeds."""

    datasets: list[Name]
    methods: list[towers.Method]
    seeds: list[Annotated[int, Field(ge=0)]]

    @field_validator("datasets", "methods", "seeds")
    @classmethod
    def _distinct(cls, names: list) -> list:
        return _once(names)


class Run(Strict):
    """The cells: every backbone on every dataset; which of them are inverted; which imports are evaluated."""

    backbones: list[Name]
    datasets: list[Name]
    oti: list[Name]
    ovi: list[Name]
    sweep: Sweep
    seeds: Seeds
    imports: list[Name]

    @field_validator("backbones", "datasets", "oti", "ovi", "imports")
    @classmethod
    def _distinct(cls, names: list[str]) -> list[str]:
        return _once(names)


class Weights(Strict):
    """What is loaded: open_clip's names, a checkpoint file, `hf-hub:`, `local-dir:`, or `timm:` without texts."""

    model: str
    pretrained: str | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    sha256: Annotated[str, Field(pattern=_SHA256)] | None = None

    @model_validator(mode="after")
    def _not_random(self) -> Weights:
        from_folder = self.model.startswith(("local-dir:", "hf-hub:"))
        tagged = self.model.startswith(
            towers.TIMM_PREFIX
        )  # its name says which weights; a file may replace them
        if self.pretrained is None and not from_folder and not tagged:
            raise ValueError(
                f"model {self.model!r} has no `pretrained`: features of random weights mean nothing; "
                "name an open_clip tag or a checkpoint file"
            )
        if self.pretrained is not None and from_folder:
            raise ValueError(f"model {self.model!r} brings its own weights: remove `pretrained`")
        return self


class TokenCount(Strict):
    tokens: int = Field(1, ge=1, description="R, pseudo-tokens in the template")


class PatchCount(Strict):
    patches: int = Field(1, ge=1, description="P, pseudo-patches under the patch grid")


class Backbone(Strict):
    weights: Weights
    oti: TokenCount
    ovi: PatchCount


class Import(Strict):
    """A feature store brought by `crossgap import`, and how it is evaluated."""

    backbone: str
    dataset: str
    retrieval: Retrieval
    controls: Controls = Controls()


class Inversion(Strict):
    """A preset of the recipe that OTI and OVI share; its values can be changed one by one, null leaves the preset's."""

    method: ClassVar[str]
    preset: str = "paper"
    steps: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    seed: int = Field(0, ge=0)
    snapshots: list[int] = Field([], description="steps at which features are kept")
    snapshot_tokens: bool = False
    patience: int | None = None
    tolerance: float | None = None
    gallery: bool = Field(False, description="invert the gallery too, for OTI-OTI and OVI-OVI")
    on_problem: Literal["error", "set_aside"] = "error"

    @property
    def recipe(self) -> InversionRecipe:
        named = {name: getattr(self, name) for name in CHANGEABLE}
        return inversion_recipe(self.method, self.preset, **named)

    @model_validator(mode="after")
    def _in_range(self) -> Inversion:
        _ = self.recipe
        return self


class Oti(Inversion):
    method = "oti"
    template: str = "a photo of {}"

    @field_validator("template")
    @classmethod
    def _one_slot(cls, template: str) -> str:
        if template.count("{}") != 1:
            raise ValueError(f"{template!r} needs exactly one {{}}, the place of the pseudo-tokens")
        return template


class Ovi(Inversion):
    method = "ovi"


class Evaluate(Strict):
    seed: int = Field(
        0, ge=0, description="of resamples, clusters, few-shot draws and the split behind separability"
    )
    clouds: int = Field(500, ge=2, description="points a modality in the figure of the two clouds")
    resamples: int = Field(9999, ge=99, description="of every bootstrap and permutation test")
    corrections: list[str] | None = Field(None, description="by name; all, if not given")
    shots: list[Annotated[int, Field(ge=1)]] = Field([1, 2, 4, 8, 16], description="images a class")
    draws: int = Field(5, ge=1, description="of the few images")

    @field_validator("shots", "corrections")
    @classmethod
    def _distinct(cls, names: list | None) -> list | None:
        return names and _once(names)

    @field_validator("corrections")
    @classmethod
    def _known(cls, names: list[str] | None) -> list[str] | None:
        if names:
            from crossgap import corrections  # numpy and pandas, which a run with all of them needs not

            if unknown := [name for name in names if name not in corrections.known()]:
                raise ValueError(
                    f"no correction {', '.join(unknown)}; known: {', '.join(corrections.known())}"
                )
        return names


class Ray(Strict):
    """The workers that invert where `engine` is `ray`: of a running cluster, or of one that the stage starts."""

    workers: int = Field(2, ge=1)
    address: Annotated[str, Field(pattern=_ADDRESS)] | None = None


class Machine(Strict):
    """How the work is scheduled; nothing here can change a result beyond rounding, so no stage depends on it."""

    device: Annotated[str, Field(pattern=_DEVICE)] = "auto"
    batch_size: int = Field(256, ge=1)
    workers: int = Field(2, ge=0)
    shard_size: int = Field(
        4096, ge=1, le=1 << 20, description="items encoded between two points to resume from"
    )
    inversion_batch_size: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto", description="items inverted together, and between two points to resume from"
    )
    engine: Literal["local", "ray"] = "local"
    ray: Ray = Ray()


class Params(Strict):
    run: Run
    backbones: dict[Name, Backbone]
    datasets: dict[Name, Declaration]
    imports: dict[Name, Import] = {}
    oti: Oti
    ovi: Ovi
    evaluate: Evaluate
    machine: Machine = Machine()
    nano: Recipe

    @model_validator(mode="after")
    def _declared(self) -> Params:
        wrong = []
        run = self.run
        for field, names, section in [
            ("backbones", run.backbones, "backbones"),
            ("datasets", run.datasets, "datasets"),
            ("oti", run.oti, "datasets"),
            ("ovi", run.ovi, "datasets"),
            ("sweep.datasets", run.sweep.datasets, "datasets"),
            ("seeds.datasets", run.seeds.datasets, "datasets"),
            ("imports", run.imports, "imports"),
        ]:
            declared = getattr(self, section)
            for name in names:
                if name not in declared:
                    known = ", ".join(sorted(declared)) or "none"
                    wrong.append(f"run.{field}: {name!r} is not declared under {section} (declared: {known})")
                elif section == "datasets" and name not in run.datasets:
                    wrong.append(f"run.{field}: {name!r} is not in run.datasets, so nothing of it is encoded")
        if not ((self.run.backbones and self.run.datasets) or self.run.imports):
            wrong.append("run: names nothing to evaluate; give backbones and datasets, or imports")
        for method in run.seeds.methods:
            if (seed := getattr(self, method).seed) in run.seeds.seeds:
                wrong.append(
                    f"run.seeds.seeds: {seed} is {method}.seed, with which {method} runs anyway; give others"
                )
        asked = [("run.oti", "oti", run.oti), ("run.sweep.datasets", "oti", run.sweep.datasets)]
        asked += [("run.ovi", "ovi", run.ovi)]
        asked += [("run.seeds.datasets", method, run.seeds.datasets) for method in run.seeds.methods]
        wrong += towers.refusals(
            {name: self.backbones[name].weights.model for name in run.backbones if name in self.backbones},
            [(place, method) for place, method, datasets in asked if datasets],
        )
        if "imports" in self.backbones:
            wrong.append("backbones: 'imports' is kept for features computed elsewhere; name it otherwise")
        if wrong:
            raise ValueError("\n  ".join(wrong))
        return self


def load(path: str | Path = "params.yaml") -> Params:
    """Read and validate `params.yaml`.

    Raises:
        ParamsError: naming the file and, a line each, every wrong field, its value and what it should be.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} not found: run from the project's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path} can't be used: it needs the sections {', '.join(Params.model_fields)}")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise ParamsError("\n  ".join([f"{path} can't be used:", *lines])) from None


_REMEDIES = {
    "missing": "missing; add it",
    "extra_forbidden": "unknown key; remove it or mend its spelling",
    "list_type": "give a list, such as [a, b], or [] for none",
    "dict_type": "give keys and values, as the other entries have them",
    "model_type": "give keys and values, as the other entries have them",
    "union_tag_not_found": "no layout; give world, captions or imagefolder",
    "union_tag_invalid": "unknown layout; give world, captions or imagefolder",
}
_PATTERNS = {
    NAME: "a name is made of letters, digits, - and _ and starts with a letter or digit",
    _DEVICE: "give auto, cpu, mps, cuda or cuda:N",
    _ADDRESS: "give auto, the host:port of a running Ray cluster, or null to start one",
    _SHA256: "give the 64 hexadecimal digits that sha256sum prints",
}


def _explain(problem: dict) -> str:
    kind, value, message = problem["type"], problem["input"], problem["msg"].removeprefix("Value error, ")
    place = [str(part) for part in problem["loc"] if part != "[key]"]
    if place[:1] == ["datasets"]:
        del place[2:3]  # pydantic names the layout here
    if not place:
        return message
    if kind == "string_pattern_mismatch":
        message = _PATTERNS.get(problem["ctx"]["pattern"], message)
    message = _REMEDIES.get(kind, message)
    if kind.startswith("union_tag") and isinstance(value, dict):
        value = value.get("layout")
    said = kind == "value_error" and repr(value) in message
    if isinstance(value, dict) or kind in ("missing", "union_tag_not_found") or said:
        return f"{'.'.join(place)}: {message}"
    return f"{'.'.join(place)}: {message} (got {value!r})"
