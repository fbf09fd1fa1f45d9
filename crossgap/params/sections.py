"""The sections of params.yaml beside `run`: the catalogue, inversions, evaluation, the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from crossgap.backbones import towers
from crossgap.backbones.preprocessing import Preprocess
from crossgap.datasets import Controls, Name, Retrieval, Split
from crossgap.evaluation.options import EvaluationOptions, LookAt
from crossgap.inversion.distil_recipe import Distil
from crossgap.inversion.recipes import CHANGEABLE, Continued, Optimiser
from crossgap.inversion.recipes import Recipe as InversionRecipe
from crossgap.inversion.recipes import recipe as inversion_recipe
from crossgap.naming import OTHERS
from crossgap.strict import Rate, Seed, Strict, once, unquoted

DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?)$"
SHA256 = r"^[0-9a-f]{64}$"
ADDRESS = r"^(auto|[^\s:/]+:\d+)$"


# the tag of what may be wrong in it is one that `explain` leaves out of the place
TagOrValues = Annotated[
    Annotated[str, Tag("tag")] | Annotated[Preprocess, Tag("[key]")],
    Discriminator(lambda given: "tag" if isinstance(given, str) else "[key]"),
]


class Weights(Strict):
    """The weights to load: open_clip's names, a checkpoint file, `hf-hub:`, `local-dir:`, or an image-only `timm:`."""

    model: str
    pretrained: str | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    sha256: Annotated[str, Field(pattern=SHA256)] | None = None
    preprocess: TagOrValues | None = Field(
        None, description="of a checkpoint file whose model's tags differ in it: a tag, or its values"
    )

    @field_validator("model")
    @classmethod
    def _one_name(cls, model: str) -> str:
        known = (towers.LOCAL_DIR_PREFIX, towers.HUB_PREFIX, towers.TIMM_PREFIX)
        if not model.startswith(known) and "/" in model and Path(model).is_dir():
            raise ValueError(f"{model} is a folder: give {towers.LOCAL_DIR_PREFIX}{model}")
        return towers.canonical(model)

    @model_validator(mode="after")
    def _not_random(self) -> Weights:
        from_folder = self.model.startswith((towers.LOCAL_DIR_PREFIX, towers.HUB_PREFIX))
        # its name says which weights; a file may replace them
        tagged = self.model.startswith(towers.TIMM_PREFIX)
        if self.pretrained is None and not from_folder and not tagged:
            raise ValueError(
                f"model {self.model!r} has no `pretrained`: features of random weights mean nothing; "
                "name an open_clip tag or a checkpoint file"
            )
        if self.pretrained is not None and from_folder:
            raise ValueError(f"model {self.model!r} brings its own weights: remove `pretrained`")
        if self.preprocess is not None and tagged and self.pretrained is None:
            raise ValueError(f"model {self.model!r} brings its own preprocessing: remove `preprocess`")
        return self


class TokenCount(Strict):
    tokens: int = Field(1, ge=1, description="R, pseudo-tokens in the template")


class PatchCount(Strict):
    patches: int = Field(1, ge=1, description="P, pseudo-patches under the patch grid")


class BackboneSection(Strict):
    weights: Weights
    oti: TokenCount = TokenCount()
    ovi: PatchCount = PatchCount()


class Import(Strict):
    """A feature store brought by `crossgap import`, and how it is evaluated."""

    backbone: str
    dataset: str
    retrieval: Retrieval
    controls: Controls = Controls()


class InversionSection(Strict):
    """A preset of the recipe that OTI and OVI share; its values can be changed one by one, null leaves the preset's."""

    method: ClassVar[str]
    preset: str = "paper"
    steps: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    seed: Seed = 0
    snapshots: list[int] = Field([], description="steps at which features are kept")
    snapshot_tokens: bool = False
    patience: int | None = None
    tolerance: float | None = None
    optimiser: Optimiser | None = None
    gallery: bool = Field(False, description="invert the gallery too, for OTI-OTI and OVI-OVI")
    on_problem: Literal["error", "set_aside"] = "error"

    @property
    def recipe(self) -> InversionRecipe:
        named = {name: getattr(self, name) for name in CHANGEABLE}
        return inversion_recipe(self.method, self.preset, **named)

    @model_validator(mode="after")
    def _in_range(self) -> InversionSection:
        _ = self.recipe
        return self


class OtiSection(InversionSection):
    method = "oti"
    template: str = "a photo of {}"

    @field_validator("template")
    @classmethod
    def _one_slot(cls, template: str) -> str:
        if template.count("{}") != 1:
            raise ValueError(f"{template!r} needs exactly one {{}}, the place of the pseudo-tokens")
        return unquoted(template)


class OviSection(InversionSection):
    method = "ovi"


class Distilling(Distil):
    """How φ is distilled, and what is done from where it ends.

    Attributes:
        split: of the dataset that φ is distilled on: its items, without labels and pairs; `controls.support`, if not
            given.
        steps: of OTI or OVI from φ's tokens (`warm`), kept beside φ's own; 0: none.
        step_lr, step_optimiser: of these steps; those of the section `oti` or `ovi`, if not given.
    """

    split: Split | None = None
    steps: int = Field(0, ge=0)
    step_lr: Rate | None = None
    step_optimiser: Optimiser | None = None

    @property
    def recipe(self) -> Distil:
        """Of φ alone."""
        return Distil(**{name: getattr(self, name) for name in Distil.model_fields})

    def optimiser(self, section: InversionSection) -> str:
        """Of the steps from φ's tokens."""
        return self.step_optimiser or section.recipe.optimiser

    def continued(self, section: InversionSection) -> Continued:
        """The steps from φ's tokens, with the features at φ's own and at the section's snapshots among them."""
        recipe, optimiser = section.recipe, self.optimiser(section)
        of = recipe if optimiser == recipe.optimiser else Continued(self.steps, optimiser=optimiser)
        return Continued(
            self.steps,
            self.step_lr or of.lr,
            of.weight_decay,
            snapshots=tuple(sorted({0, *(step for step in recipe.snapshots if step <= self.steps)})),
            optimiser=optimiser,
        )


class Distillings(Strict):
    """By the method whose tokens φ gives."""

    oti: Distilling = Distilling()
    ovi: Distilling = Distilling(epochs=12)


class FitFile(Strict):
    """Features or means of images, of texts or of both, `FILE[:KEY]` each, of the backbones or imports named."""

    image: str | None = None
    text: str | None = None
    backbones: list[str] | None = Field(None, description="or imports, that it is of; all, if not given")

    @property
    def files(self) -> dict[str, str]:
        """By modality."""
        given = {"image": self.image, "text": self.text}
        return {modality: file for modality, file in given.items() if file is not None}

    @model_validator(mode="after")
    def _something(self) -> FitFile:
        if not self.files:
            raise ValueError("names no file: give image: FILE[:KEY], text: FILE[:KEY], or both")
        return self


class FitOn(Strict):
    """On what corrections are fitted too, beside each cell's own items.

    Attributes:
        datasets: others of the run: each of them, and of two and more all together.
        files: by the name that tables call it.
    """

    datasets: list[Name] = Field([])
    files: dict[Name, FitFile] = Field({})

    @field_validator("datasets")
    @classmethod
    def _distinct(cls, names: list) -> list:
        return once(names)

    @model_validator(mode="after")
    def _one_name(self) -> FitOn:
        if taken := [name for name in self.files if name in (*self.datasets, OTHERS)]:
            raise ValueError(
                f"files: {', '.join(taken)} is the name of a dataset, or of all: name it otherwise"
            )
        return self

    def of(self, *names: str) -> dict[str, dict[str, str]]:
        """The files for a backbone or an import, which goes by any of these names: by name and modality."""
        return {
            name: row.files
            for name, row in self.files.items()
            if row.backbones is None or set(row.backbones) & set(names)
        }


class Evaluate(EvaluationOptions):
    resamples: int = Field(9999, ge=99, description="of every bootstrap and permutation test")
    fit_on: FitOn = FitOn()


class Report(LookAt):
    """What the page shows of single queries."""

    thumbnail: int = Field(96, ge=16, le=512, description="pixels of a picture's longer side")
    megabytes: float = Field(
        12,
        ge=0,
        le=200,
        description="of all cells' queries in the page, at most a third of it rankings, the rest pictures",
    )


class RaySection(Strict):
    """The workers that compute where `engine` is `ray`, of a cluster that runs or that a stage starts."""

    workers: int = Field(2, ge=1)
    address: Annotated[str, Field(pattern=ADDRESS)] | None = None
    gpus: float | None = Field(
        None,
        ge=0,
        le=1,
        description="of each worker, a part where several share one; if null, 1 where the cluster has any",
    )
    patience: float = Field(
        300,
        ge=0,
        description="seconds for which workers may die at one shard, or none be there, before a stage fails",
    )


class Machine(Strict):
    """How the work is scheduled; nothing here can change a result beyond rounding, so no stage depends on it."""

    device: Annotated[str, Field(pattern=DEVICE)] = "auto"
    batch_size: int = Field(256, ge=1)
    workers: int = Field(2, ge=0)
    shard_size: int = Field(
        4096, ge=1, le=1 << 20, description="items encoded between two points to resume from"
    )
    inversion_batch_size: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto", description="items inverted together, and between two points to resume from"
    )
    training_batch_size: int | None = Field(
        None,
        ge=1,
        description="pairs through the towers together, where a whole batch of a training doesn't fit",
    )
    rehash: bool = Field(
        False, description="prepare reads every image again, also those whose size and times are as they were"
    )
    checkpoint_seconds: float = Field(60, ge=0, description="between two checkpoints of a training")
    engine: Literal["local", "ray"] = "local"
    ray: RaySection = RaySection()
