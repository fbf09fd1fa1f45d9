"""Weighted sums of losses, by their names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from crossgap.errors import CrossgapError
from crossgap.losses import TERMS
from crossgap.losses.checks import number
from crossgap.losses.clip_refine import hybrid_distillation, random_alignment
from crossgap.losses.contrastive import clip, scaled_denominator
from crossgap.losses.cyclip import cyclic_cross_modal, cyclic_in_modal
from crossgap.losses.hypersphere import alignment, cross_uniformity, uniformity
from crossgap.losses.intra_modal import slip
from crossgap.losses.midpoints import centroid_uniformity
from crossgap.losses.sigmoid import siglip

if TYPE_CHECKING:
    from jaxtyping import Float


def total(
    losses: Mapping[str, float],
    images: Float[Tensor, "n d"],
    texts: Float[Tensor, "n d"],
    *,
    temperature: float | Float[Tensor, ""],
    bias: float | Float[Tensor, ""] | None = None,
    views: tuple[Float[Tensor, "n e"], Float[Tensor, "n e"]] | None = None,
    intra_modal_temperature: float | Float[Tensor, ""] = 0.1,
    raw: tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]] | None = None,
    reference: Float[Tensor, "n d"] | None = None,
    taught: tuple[Float[Tensor, "n t"], Float[Tensor, "n t"]] | None = None,
    distillation_temperature: float = 1.0,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """Σ weight · term, and each term by itself, without weight and without gradient.

    Args:
        losses: term of `TERMS` → weight. `uniformity` is ½ (that of the images + that of the texts).
        images, texts: matching unit rows `(n, d)`.
        temperature: of `clip`, `scaled_denominator` and `siglip`; `bias` is of `siglip` alone.
        views: two of each image, unit rows `(n, e)`, for `slip`; `intra_modal_temperature` is its own.
        raw: images and texts `(n, d)` before they were made unit, for `random_alignment`, with a `reference` `(n, d)`,
            and for `hybrid_distillation`, with the same items as the teacher gives them, `taught`, rows `(n, t)`;
            `distillation_temperature` is its own.

    Raises:
        CrossgapError: an unknown term or none, a weight that isn't positive, or something missing that a term needs.
        TypeError, ValueError: rows that can't be used.
    """
    if not isinstance(losses, Mapping):
        raise TypeError(f"losses is {losses!r}: give weights by names, such as {{'clip': 1}}")
    if not losses:
        raise CrossgapError(f"losses: names none; give one of {', '.join(TERMS)} with a weight")
    for name, weight in losses.items():
        if name not in TERMS:
            raise CrossgapError(f"losses: no loss {name!r}; known: {', '.join(TERMS)}")
        if not (math.isfinite(number(weight, f"losses.{name}")) and weight > 0):
            raise CrossgapError(
                f"losses.{name}: the weight is {weight}; give a positive number, or leave the term out"
            )
    for name, pair in (("views", views), ("raw", raw), ("taught", taught)):
        if not (pair is None or (isinstance(pair, tuple | list) and len(pair) == 2)):
            raise TypeError(f"{name} is a {type(pair).__name__}: give a tuple of two tensors")
    makers: dict[str, Callable[[], Tensor]] = {
        "clip": lambda: clip(images, texts, temperature),
        "uniformity": lambda: (uniformity(images) + uniformity(texts)) / 2,
        "cross_uniformity": lambda: cross_uniformity(images, texts),
        "alignment": lambda: alignment(images, texts),
        "cyclic_in_modal": lambda: cyclic_in_modal(images, texts),
        "cyclic_cross_modal": lambda: cyclic_cross_modal(images, texts),
        "scaled_denominator": lambda: scaled_denominator(images, texts, temperature),
        "centroid_uniformity": lambda: centroid_uniformity(images, texts),
    }
    if views is not None:
        makers["slip"] = partial(slip, *views, temperature=intra_modal_temperature)
    elif "slip" in losses:
        raise CrossgapError("losses.slip: there are no views; give two of each image")
    if bias is not None:
        makers["siglip"] = partial(siglip, images, texts, temperature, bias)
    elif "siglip" in losses:
        raise CrossgapError("losses.siglip: there is no bias; give one, such as -10")
    if raw is not None and reference is not None:
        makers["random_alignment"] = partial(random_alignment, *raw, reference)
    elif "random_alignment" in losses:
        raise CrossgapError(
            "losses.random_alignment: raw or reference is not there; give features that are not unit, and points"
        )
    if raw is not None and taught is not None:
        makers["hybrid_distillation"] = partial(
            hybrid_distillation, *raw, *taught, temperature=distillation_temperature
        )
    elif "hybrid_distillation" in losses:
        raise CrossgapError(
            "losses.hybrid_distillation: raw or taught is not there; give features that are not unit, and a teacher's"
        )
    terms = {name: makers[name]() for name in losses}
    first, *rest = (weight * terms[name] for name, weight in losses.items())
    loss = sum(rest, first)
    return loss, {name: term.detach() for name, term in terms.items()}
