"""How φ is trained, which gives pseudo-tokens in one forward pass: its losses and the recipe."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from crossgap.strict import Rate, Seed, Strict

# by what φ learns: mean squared error to the tokens that OTI or OVI finds; SEARLE's contrastive loss to them, beside
# the cosine loss; the cosine loss alone, 1 − cosine through the frozen tower, which needs no such tokens
Loss = Literal["tokens", "searle", "cosine"]
LOSSES: tuple[str, ...] = get_args(Loss)
WIDER = 4  # φ's hidden layers, against the features
TAUGHT = ("tokens", "searle")  # those that need the tokens


class Distil(Strict):
    """The recipe of φ (after SEARLE, Baldrati et al. 2023, section 3): AdamW, constant rate, dropout.

    Attributes:
        items: features that φ learns from, picked by their hashed ids; all of the split, if not given.
        held_out: share of the split's items that φ never learns from, the captions of an image together: its loss on
            them is what `epochs` and `lr` may be chosen by.
        temperature: τ of the contrastive loss.
        seed: of φ's first weights, of the order of the items and of what dropout leaves out.
    """

    epochs: int = Field(60, ge=1)
    batch_size: int = Field(64, ge=2)
    lr: Rate = 1e-4
    weight_decay: float = Field(0.01, ge=0, allow_inf_nan=False)
    dropout: float = Field(0.5, ge=0, lt=1)
    temperature: float = Field(0.25, gt=0, allow_inf_nan=False)
    held_out: float = Field(0.1, ge=0, lt=1)
    items: int | None = Field(None, ge=2)
    seed: Seed = 0
