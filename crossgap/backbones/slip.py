"""SLIP's released checkpoints (arXiv 2112.12750), and CLIP's of the same release, in open_clip's parts.

Their vision tower is timm's ViT, read at the class token before a projection without bias; their text tower is
CLIP's, with QuickGELU. `configs/` says so to open_clip under the names `SLIP-ViT-B-16` and `SLIP-ViT-L-16`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
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
# beside the weights: arguments, a path among them, and the optimiser, its rates numpy's scalars
_UNREAD = (
    "argparse.Namespace",
    "pathlib.PosixPath",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
)


class _Unread:
    """Stands where a checkpoint has an object that isn't a tensor: takes what it is given, and does nothing."""

    def __new__(cls, *_arguments: object) -> _Unread:
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None: ...


def state(weights: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint of SLIP's release, under open_clip's names.

    Nothing in the file is run: of other than tensors only the types that the release has are let in, unread.

    Raises:
        ValueError: not a checkpoint of SLIP's form.
        pickle.UnpicklingError: something else is in it.
    """
    with torch.serialization.safe_globals([(_Unread, name) for name in _UNREAD]):
        held = torch.load(weights, map_location="cpu", weights_only=True, mmap=True)
    held = held.get("state_dict") if isinstance(held, dict) else None
    if not isinstance(held, dict) or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise ValueError(f"{weights} has no `state_dict` of tensors, as SLIP's checkpoints have")
    return renamed({name.removeprefix("module."): tensor for name, tensor in held.items()})


def renamed(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """SLIP's names to open_clip's; names that neither knows stay, for a strict load to refuse."""
    found = {}
    for name, tensor in held.items():
        if name == "image_projection":  # (width, d), applied from the right
            found["visual.head.proj.weight"] = tensor.T
        elif name.startswith("visual."):
            found[f"visual.trunk.{name.removeprefix('visual.')}"] = tensor
        elif not name.startswith(_LEFT_OUT):
            found[name] = tensor
    return found
