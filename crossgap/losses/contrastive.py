"""CLIP's loss (Radford et al., ICML 2021, figure 3)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from crossgap.losses.checks import positive, unit_pair
from crossgap.losses.pairs import cross_entropy, sum_over_pairs

if TYPE_CHECKING:
    from jaxtyping import Float


def clip(
    images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"], temperature: float | Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """½ the cross-entropy of finding each image's text, and ½ of each text's image, by cosine over temperature.

    Args:
        images, texts: matching unit rows `(n, d)`.
        temperature: positive; as a tensor it may learn.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    images, texts = unit_pair(images, texts)
    scaled = images * (1 / positive(temperature, "temperature"))
    to_texts = sum_over_pairs(cross_entropy, scaled, texts)
    to_images = sum_over_pairs(cross_entropy, texts, scaled)
    return (to_texts + to_images) / (2 * len(images))


def scaled_denominator(
    images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"], temperature: float | Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """`clip` with the mean over the batch in place of the sum in its denominators: `clip` − log n.

    An option of the public code of It's Not a Modality Gap. 0 is chance with a batch of any size; in one size the
    gradients are those of `clip`, and so is what is learned. Arguments and errors as of `clip`.
    """
    return clip(images, texts, temperature) - math.log(len(images))
