"""The recipe of a fine-tuning: a row of the section `finetune` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from crossgap import losses as known_losses
from crossgap.datasets import Name, Split
from crossgap.errors import like
from crossgap.strict import Betas, Rate, Seed, Strict
from crossgap.training.augment import Augment

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Finetune(Strict):
    """What is trained, on what, and how. The defaults are those of It's Not a Modality Gap, section 5.

    Attributes:
        backbone: a row of `backbones`, from whose weights the training starts.
        losses: term → weight. `cua` is {clip: 1, uniformity: 1, alignment: 1}, `cuaxu` adds {cross_uniformity: 1};
            ModGap's is {clip: 1, alignment: 1, centroid_uniformity: 1}, CLIP-Refine's {random_alignment: 1,
            hybrid_distillation: 1}.
        width: d of new projections; null keeps the backbone's projections.
    """

    backbone: Name
    dataset: Name
    split: Split = "train"
    captions: Literal["first", "any"] = Field(
        "first", description="of an image; any: drawn anew at each epoch"
    )
    silent_on: list[str] = Field([], description="labellings: captions that mention one of them are not used")
    losses: dict[str, Weight] = Field({"clip": 1.0}, min_length=1)
    temperature: float = Field(0.01, gt=0, allow_inf_nan=False)
    learn_temperature: bool = False
    width: int | None = Field(None, ge=1)
    epochs: int = Field(9, ge=1)
    batch_size: int = Field(64, ge=2, description="pairs that the losses compare")
    lr: Rate = 1e-6
    projection_lr: Rate | None = Field(None, description="of new projections and heads; lr, if not given")
    betas: Betas = (0.9, 0.99)
    weight_decay: float = Field(0.1, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = Field(0, ge=0, description="steps in which the rates rise")
    clip_grad_norm: float | None = Field(None, gt=0)
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: mixed, the parameters stay in fp32")
    seed: Seed = Field(0, description="of new projections, the order of the pairs and the views")
    intra_modal_temperature: float = Field(0.1, gt=0)
    augment: Augment = Augment()
    distillation_temperature: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="of the teacher's dot products and the student's"
    )

    @field_validator("losses")
    @classmethod
    def _known(cls, losses: dict[str, float]) -> dict[str, float]:
        if unknown := [name for name in losses if name not in known_losses.TERMS]:
            raise ValueError(
                f"no loss {', '.join(unknown)}{like(unknown[0], known_losses.TERMS)}; "
                f"known: {', '.join(known_losses.TERMS)}"
            )
        return losses

    @model_validator(mode="after")
    def _of_what_is_there(self) -> Finetune:
        if "slip" not in self.losses and (self.augment, self.intra_modal_temperature) != (Augment(), 0.1):
            raise ValueError(
                "augment, intra_modal_temperature: only of the loss `slip`; remove them or add it"
            )
        if "hybrid_distillation" not in self.losses and self.distillation_temperature != 1:
            raise ValueError(
                "distillation_temperature: only of the loss `hybrid_distillation`; remove it or add the loss"
            )
        if self.projection_lr is not None and self.width is None and "slip" not in self.losses:
            raise ValueError("projection_lr: nothing is new without a width or the loss `slip`; remove it")
        return self
