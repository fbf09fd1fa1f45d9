"""SLIP's released checkpoints (arXiv 2112.12750), and CLIP's of the same release, in open_clip's parts.

Their vision tower is timm's ViT, read at the class token before a projection without bias; their text tower is
CLIP's, with QuickGELU. `configs/` says so to open_clip under the names `SLIP-ViT-B-16` and `SLIP-ViT-L-16`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "SLIP-"
# what the release evaluates with: torchvision's default of resizing, ImageNet's mean and deviation
PREPROCESSING = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bilinear",
    "resize_mode": "shortest",
}
_LEFT_OUT = "image_mlp."  # the head of the self-supervised loss: no feature passes through it


def renamed(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename SLIP's weights to open_clip's names. Unknown names stay, so that a strict load refuses them.

    A file with open_clip's names is given back as it is.
    """
    if not any(name.endswith("image_projection") for name in held):
        return dict(held)
    found = {}
    for name, tensor in held.items():
        name = name.removeprefix("module.")
        if name == "image_projection":  # (width, d), applied from the right
            found["visual.head.proj.weight"] = tensor.T
        elif name.startswith("visual."):
            found[f"visual.trunk.{name.removeprefix('visual.')}"] = tensor
        elif not name.startswith(_LEFT_OUT):
            found[name] = tensor
    return found
