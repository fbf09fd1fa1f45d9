"""PCA⁺: features are projected on the principal directions of texts of concept names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from crossgap.corrections.correction import (
    Affine,
    Correction,
    directions_to_keep,
    principal_directions,
    rounding,
    stored_rows,
    tried,
)
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Real

    from crossgap.arrays import Features

TITLE = "PCA⁺"
SOURCE = "Reevaluating the intra-modal misalignment hypothesis (arXiv 2603.16100, CVPR 2026)"
REFERENCE = "uncentred features on the leading principal directions of texts of concept names"


def fit(text_features: Real[Features, "v d"], keep: int | None = None) -> Correction:
    """Project uncentred features, of images and texts alike, on the leading eigenvectors of the texts' covariance.

    The covariance is centred and of the texts as they are stored, of whatever length. The paper's are ImageNet's 1000
    class names: bare in its code, as "a photo of x" in its text.

    Args:
        text_features: `(v, d)`.
        keep: directions; None for d // 2, or all that the texts span where those are fewer.

    Raises:
        TypeError, ValueError: texts that cannot be used, or that span fewer than `keep` directions.
    """
    texts = stored_rows(text_features, "text_features")
    _, directions, rank = principal_directions(texts, True, rounding(text_features, "text_features"))
    keep = directions_to_keep(keep, rank, default=texts.shape[1] // 2)
    affine = Affine(directions[:, :keep])
    return Correction({"image": affine, "text": affine}, {"texts": len(texts), "keep": keep})


def fits(material: Material) -> Iterator[tuple[str, Correction | UnavailableError]]:
    for suffix, texts in material.vocabularies().items():
        yield f"pca_plus{suffix}", texts if isinstance(texts, UnavailableError) else tried(fit, texts)
