"""Alignment (Wang and Isola, ICML 2020; It's Not a Modality Gap, section 4)."""

from __future__ import annotations

from torch import Tensor

from crossgap.losses.checks import unit_pair


def alignment(images: Tensor, texts: Tensor) -> Tensor:
    """mean_j ‖I_j − T_j‖² of matching unit rows `(n, d)`: from 0 to 4.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    images, texts = unit_pair(images, texts)
    return (images - texts).square().sum() / len(images)
