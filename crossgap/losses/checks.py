"""The checks of its input that every loss makes."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

TOLERANCE = 1e-2  # of a row's length; bfloat16 has 8 bits


def unit_pair(
    first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], names: tuple[str, str] = ("images", "texts")
) -> list[Float[Tensor, "n d"]]:
    """Two matching batches of unit rows `(n, d)`, in float32 at least.

    Raises:
        TypeError: not floating tensors, or of different precision.
        ValueError: other shapes, a batch of one, or rows of another length.
    """
    rows = matching_batches(first, second, names)
    for x, name in zip(rows, names, strict=True):
        check_unit(x, name)
    return rows


def matching_batches(
    first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], names: tuple[str, str] = ("images", "texts")
) -> list[Float[Tensor, "n d"]]:
    """Two matching batches of rows `(n, d)` of any length, in float32 at least; other errors as of `unit_pair`."""
    rows = [batch(x, name) for x, name in zip((first, second), names, strict=True)]
    if first.shape != second.shape:
        raise ValueError(
            f"{names[0]} has shape {tuple(first.shape)} and {names[1]} {tuple(second.shape)}: row i of both must "
            "belong together, in one space; give as many rows of one width"
        )
    if rows[0].dtype != rows[1].dtype:
        raise TypeError(
            f"{names[0]} is {first.dtype} and {names[1]} {second.dtype}: give both in one precision"
        )
    return rows


def unit_batch(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """A batch of unit rows `(n, d)`, in float32 at least; errors as of `unit_pair`."""
    x = batch(x)
    check_unit(x, "x")
    return x


def batch(x: Float[Tensor, "n d"], name: str = "x") -> Float[Tensor, "n d"]:
    """A batch of rows `(n, d)` of any length, in float32 at least; other errors as of `unit_pair`."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name} is {kind}: give a floating torch tensor `(n, d)`")
    if x.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: give one row an item, `(n, d)`")
    if len(x) < 2:
        raise ValueError(f"{name}: a loss over a batch of {len(x)} compares nothing; give at least 2 rows")
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def check_unit(x: Float[Tensor, "n d"], name: str) -> None:
    """ValueError unless rows `(n, d)` have unit length."""
    off = (torch.linalg.vector_norm(x.detach(), dim=1) - 1).abs().max().item()
    if off > TOLERANCE:  # NaN passes: a training names the step at which its loss is none
        raise ValueError(
            f"{name} has rows whose length differs from 1 by up to {off:.3g}: normalise them first"
        )


def positive(value: float | Float[Tensor, ""], name: str) -> float | Float[Tensor, ""]:
    """`value`; ValueError unless it is one positive, finite number."""
    if not 0 < number(value, name) < math.inf:
        raise ValueError(f"{name} is {number(value, name):g}: give a positive number, such as 0.01")
    return value


def finite(value: float | Float[Tensor, ""], name: str) -> float | Float[Tensor, ""]:
    """`value`; ValueError unless it is one finite number."""
    if not math.isfinite(number(value, name)):
        raise ValueError(f"{name} is {number(value, name):g}: give a finite number")
    return value


def number(value: object, name: str) -> float:
    """`value` as Python has it; TypeError unless it is one number, or a tensor of one without dimensions."""
    if isinstance(value, Tensor) and value.ndim == 0:
        return value.item()
    if not isinstance(value, Real):
        kind = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} is {kind}: give a number, or a tensor without dimensions")
    return float(value)
