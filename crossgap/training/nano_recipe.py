"""The recipe of the embedded backbone, and of another like it: a row of the section `pretrain` of params.yaml."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from crossgap.strict import Betas, Rate, Seed, Strict
from crossgap.training.augment import Augment


class Groups(Strict):
    """A part of the batch: groups of scenes that differ in some factors and share the others."""

    vary: list[Literal["shape", "colour", "size", "texture", "place", "background"]] = Field(min_length=1)
    size: int = Field(ge=2, description="most members of a group")
    share: float = Field(gt=0, le=1, description="of the batch")
    say: bool = Field(
        True, description="captions mention all that varies; else what the grammar has them say"
    )


class IntraModal(Strict):
    """SLIP's term (Mu et al. 2022): views of the same image are told from those of others, behind a head of its own."""

    weight: float = Field(1.0, gt=0)
    images: int = Field(64, ge=2, description="of each batch")
    temperature: float = Field(0.1, gt=0)
    hidden: int = Field(256, ge=1, description="width of the head's two hidden layers")
    width: int = Field(128, ge=1, description="of the head's output")
    augment: Augment = Augment()


class NanoRecipe(Strict):
    """Every number of the training, except those that are standard in CLIP."""

    seed: Seed = 0
    steps: int = Field(ge=1)
    batch_size: int = Field(128, ge=2)
    lr: Rate = Field(1e-3, description="peak; linear warm-up, then a cosine to zero")
    warmup: int = Field(100, ge=1, description="steps")
    weight_decay: float = Field(0.1, ge=0, description="of matrices; vectors have none")
    betas: Betas = (0.9, 0.98)
    clip_grad_norm: float = Field(1.0, gt=0)
    logit_scale: float = Field(1 / 0.07, gt=0, description="1/temperature to start from; it is learned")
    max_logit_scale: float = Field(100.0, ge=1, description="it stays within this and 1")
    groups: list[Groups] = Field(min_length=1, description="what a batch is made of")
    naming_steps: int = Field(
        0, ge=0, description="steps in which the loss of naming the factors fades to none"
    )
    naming_weight: float = Field(3.0, ge=0, description="of that loss at the first step")
    intra_modal: IntraModal | None = None
    position_gain: float = Field(
        1.0, gt=0, description="on the initial position embedding of the image tower"
    )
    merges: int = Field(1024, ge=0, description="most byte-pair merges of the vocabulary")
    threads: int = Field(2, ge=1, description="of torch; another number rounds otherwise")
    model: dict[str, Any] = Field(
        description="open_clip's model_cfg, without what follows from the vocabulary"
    )

    @field_validator("groups")
    @classmethod
    def _whole(cls, groups: list[Groups]) -> list[Groups]:
        if abs(sum(group.share for group in groups) - 1) > 1e-6:
            raise ValueError(f"the shares add up to {sum(group.share for group in groups):g}, not 1")
        return groups
