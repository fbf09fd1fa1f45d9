"""A model library's transform for inference, its arithmetic done for a batch at once.

Resizing, cropping and converting are an image's own. What follows, bytes to floats and the normalisation, are three
operations that cost a small image more in calls than in arithmetic. Each is one IEEE operation an element, so that no
bit depends on how many images share it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.utils.data import default_collate
from torchvision.transforms import Compose, Normalize, ToTensor
from torchvision.transforms.functional import normalize

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped
    from torch import Tensor


class BatchTransform:
    """`batch([one(image), …])` is the stack of the images' transforms, bit for bit.

    A transform that doesn't end in `ToTensor` and `Normalize` is applied whole, image by image.
    """

    def __init__(self, transform: Callable) -> None:
        steps = _steps(transform)
        self.one, self.normalize = transform, None
        if len(steps) > 2 and isinstance(steps[-2], ToTensor) and isinstance(steps[-1], Normalize):
            self.head = Compose(steps[:-2])
            if _is_rgb(self.head(Image.new("L", (8, 8)))):
                self.one, self.normalize = self._bytes, steps[-1]

    def batch(self, images: list[Shaped[Tensor, "*shape"]]) -> Float[Tensor, "n c h w"]:
        """The batch of what `one` made."""
        if self.normalize is None:
            return default_collate(images)
        rows = torch.stack(images).permute(0, 3, 1, 2).contiguous().to(torch.float32).div_(255)
        return normalize(rows, self.normalize.mean, self.normalize.std, inplace=True)

    def _bytes(self, image: Image.Image) -> Shaped[Tensor, "h w c"]:
        return torch.from_numpy(np.array(self.head(image)))


def _steps(transform: Callable) -> list[Callable]:
    """The steps of a transform, those of the compositions in it among them."""
    if not isinstance(transform, Compose):
        return [transform]
    return [step for part in transform.transforms for step in _steps(part)]


def _is_rgb(image: object) -> bool:
    return isinstance(image, Image.Image) and image.mode == "RGB"
