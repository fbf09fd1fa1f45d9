"""`params.yaml` as a whole: read, validated, and explained when it is wrong.

Only stages and commands read it; the rest of crossgap is given plain values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crossgap.datasets import Declaration, Retrieval

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]


class ParamsError(ValueError):
    """`params.yaml` can't be used; the message lists every field that is wrong."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Run(Strict):
    """The cells: every backbone on every dataset; which of them are inverted; which imports are evaluated."""

    backbones: list[Name]
    datasets: list[Name]
    oti: list[Name] = []
    ovi: list[Name] = []
    imports: list[Name] = []

    @field_validator("*")
    @classmethod
    def _once(cls, names: list[str]) -> list[str]:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return names


class Weights(Strict):
    """What is loaded: open_clip's names, a checkpoint file, `hf-hub:` or `local-dir:`."""

    model: str
    pretrained: str | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _not_random(self) -> Weights:
        from_folder = self.model.startswith(("local-dir:", "hf-hub:"))
        if self.pretrained is None and not from_folder:
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
    oti: TokenCount = TokenCount()
    ovi: PatchCount = PatchCount()


class Import(Strict):
    """A feature store brought by `crossgap import`, and how it is evaluated."""

    backbone: str
    dataset: str
    retrieval: Retrieval


class Inversion(Strict):
    """The recipe that OTI and OVI share (Cross the Gap, section 4)."""

    steps: int = Field(ge=1)
    lr: float = Field(0.02, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    seed: int = Field(0, ge=0)
    gallery: bool = Field(False, description="invert the gallery too, for OTI-OTI and OVI-OVI")


class Oti(Inversion):
    template: str = "a photo of {}"

    @field_validator("template")
    @classmethod
    def _one_slot(cls, template: str) -> str:
        if template.count("{}") != 1:
            raise ValueError(f"{template!r} needs exactly one {{}}, the place of the pseudo-tokens")
        return template


class Ovi(Inversion):
    pass


class Evaluate(Strict):
    seed: int = Field(0, ge=0, description="of the split that measures linear separability")
    clouds: int = Field(500, ge=2, description="points a modality in the figure of the two clouds")


class Machine(Strict):
    """How the work is scheduled; nothing here can change a result beyond rounding, so no stage depends on it."""

    device: Device = "auto"
    batch_size: int = Field(256, ge=1)
    workers: int = Field(2, ge=0)
    shard_size: int = Field(1024, ge=1)


class Params(Strict):
    run: Run
    backbones: dict[Name, Backbone]
    datasets: dict[Name, Declaration]
    imports: dict[Name, Import] = {}
    oti: Oti
    ovi: Ovi
    evaluate: Evaluate = Evaluate()
    machine: Machine = Machine()
    nano: dict[str, Any] = Field({}, description="validated by the stage that trains the embedded backbone")

    @model_validator(mode="after")
    def _declared(self) -> Params:
        wrong = []
        for field, declared in [
            ("backbones", self.backbones),
            ("datasets", self.datasets),
            ("oti", self.datasets),
            ("ovi", self.datasets),
            ("imports", self.imports),
        ]:
            section = field if field in ("backbones", "imports") else "datasets"
            for name in getattr(self.run, field):
                if name not in declared:
                    known = ", ".join(sorted(declared)) or "none"
                    wrong.append(f"run.{field}: {name!r} is not declared under {section} (declared: {known})")
                elif field in ("oti", "ovi") and name not in self.run.datasets:
                    wrong.append(f"run.{field}: {name!r} is not in run.datasets, so nothing of it is encoded")
        if wrong:
            raise ValueError("; ".join(wrong))
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
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {error}") from None
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise ParamsError("\n  ".join([f"{path} can't be used:", *lines])) from None


def _explain(problem: dict) -> str:
    field = ".".join(str(part) for part in problem["loc"]) or "params"
    value = problem["input"]
    shown = "" if isinstance(value, dict) or problem["type"] == "missing" else f" (got {value!r})"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "unknown key; remove it or mend its spelling"
    return f"{field}: {message}{shown}"
