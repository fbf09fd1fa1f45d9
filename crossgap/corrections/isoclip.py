"""IsoCLIP: the towers' projections without the directions at both ends of the spectrum of their product."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgap.corrections.correction import Affine, Correction, weight_matrix
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Real

    from crossgap.arrays import Features

TITLE = "IsoCLIP"
SOURCE = "IsoCLIP (arXiv 2603.19862, CVPR 2026)"
REFERENCE = "projections without the top and bottom singular directions of the inter-modal operator"

# Removed (top, bottom) for images and for texts, by open_clip's model (without -quickgelu) and pretrained names.
PUBLISHED: dict[tuple[str, str], tuple[tuple[int, int] | None, tuple[int, int] | None]] = {
    ("ViT-B-32", "openai"): ((150, 50), (20, 100)),
    ("ViT-B-16", "openai"): ((200, 50), (10, 50)),
    ("ViT-L-14", "openai"): ((250, 200), (10, 300)),
    ("ViT-B-32", "datacomp_xl_s13b_b90k"): ((50, 50), None),
    ("ViT-B-16", "datacomp_xl_s13b_b90k"): ((100, 100), (2, 150)),
    ("ViT-B-16-SigLIP2", "webli"): ((350, 50), None),
    ("PE-Core-B-16", "meta"): ((300, 50), None),
}


def fit(
    image_weight: Real[Features, "d image"],
    text_weight: Real[Features, "d text"],
    images: tuple[int, int] | None = None,
    texts: tuple[int, int] | None = None,
) -> Correction:
    """Project pre-projection features on the middle of the spectrum of Ψ = W_iᵀW_t = USVᵀ, then into the joint space.

    Images are projected by W_i U_k U_kᵀ, texts by W_t V_k V_kᵀ, where k are the directions left of the
    min(width_i, width_t, d) that Ψ has. For tasks inside a modality: both sides of it.

    Args:
        image_weight: W_i `(d, width_i)`, output × input. A bias may be one more column, the last: features without it
            get a 1 there, as in the paper's code.
        text_weight: W_t `(d, width_t)`, likewise.
        images: how many (top, bottom) directions images lose; None for the knees of the spectrum.
        texts: the same for texts.

    The knees: on the logarithm of the spectrum, the point of its upper half farthest below the chord of that half, and
    the point of its lower half farthest above the chord of that. Directions before the one and after the other go, so
    that the choice has no parameter and needs no data. Directions whose singular value is rounding go with the bottom.

    Raises:
        TypeError, ValueError: weights that cannot be used or have unequal outputs; `UnavailableError` for weights that
            are not finite, or cut-offs that leave no direction.
    """
    weights: dict[str, np.ndarray] = {
        "image": weight_matrix(image_weight, "image_weight"),
        "text": weight_matrix(text_weight, "text_weight"),
    }
    if len(weights["image"]) != len(weights["text"]):
        raise ValueError(
            f"image_weight has {len(weights['image'])} outputs and text_weight {len(weights['text'])}: "
            "give the two projections of one backbone, output × input"
        )
    *bases, values = _inter_modal(*weights.values())
    maps: dict[str, Affine] = {}
    parameters: dict[str, Any] = {"directions": len(values)}
    for (modality, weight), basis, given in zip(weights.items(), bases, (images, texts), strict=True):
        top, bottom = given or knees(values)
        if min(top, bottom) < 0 or top + bottom >= len(values):
            raise UnavailableError(
                f"{modality}s lose {top} top and {bottom} bottom of {len(values)} directions: leave at least one"
            )
        kept = basis[:, top : len(values) - bottom]
        maps[modality] = Affine(kept @ (kept.T @ weight.T))
        parameters[modality] = {"top": top, "bottom": bottom, "chosen": "given" if given else "knees"}
    return Correction(maps, parameters, space="preprojection")


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    missing = [modality for modality in ("image", "text") if modality not in material.weights]
    if missing:
        raise UnavailableError(
            f"no last projection that stands apart, or none stored: {' and '.join(missing)} tower"
        )
    name = ((material.model or "").removesuffix("-quickgelu"), material.pretrained or "")
    image, text = (_with_bias(material, modality) for modality in ("image", "text"))
    yield "isoclip", fit(image, text, *PUBLISHED.get(name, ()))


def knees(values: Float[np.ndarray, " r"]) -> tuple[int, int]:
    """How many (top, bottom) of the singular values `(r,)`, falling, lie beyond the two knees of their logarithm."""
    rank = int((values > values[0] * len(values) * np.finfo(np.float64).eps).sum())
    logs = np.log(values[:rank])
    middle = rank // 2
    return _bend(logs[: middle + 1]), len(values) - rank + _bend(-logs[middle:][::-1])


def _with_bias(material: Material, modality: str) -> Real[np.ndarray, "d width"]:
    weight, bias = material.weights[modality], material.biases.get(modality)
    return weight if bias is None else np.column_stack([weight, bias])


def _bend(curve: Float[np.ndarray, " r"]) -> int:
    """Where a falling curve lies farthest below its chord; 0 if nowhere by more than rounding."""
    if not len(curve):
        return 0
    chord = np.linspace(curve[0], curve[-1], len(curve))
    return int(np.argmax(np.round(chord - curve, 9)))


def _inter_modal(
    image_weight: Float64[np.ndarray, "d image"], text_weight: Float64[np.ndarray, "d text"]
) -> tuple[Float64[np.ndarray, "image r"], Float64[np.ndarray, "text r"], Float64[np.ndarray, " r"]]:
    """U `(width_i, r)`, V `(width_t, r)` and S `(r,)` of W_iᵀW_t, r the least of both widths and d.

    By QR of each weight, so that the product of the widths is never decomposed: its rank is at most d.
    """
    image_basis, image_part = np.linalg.qr(image_weight.T)
    text_basis, text_part = np.linalg.qr(text_weight.T)
    left, values, right = np.linalg.svd(image_part @ text_part.T, full_matrices=False)
    return image_basis @ left, text_basis @ right.T, values
