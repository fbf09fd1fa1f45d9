"""Two random views of an image, for losses inside the modality (SimCLR, Chen et al. 2020; SLIP, Mu et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from crossgap.strict import Strict

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float


class Augment(Strict):
    """How strongly views differ; the defaults are SLIP's."""

    crop: float = Field(0.08, gt=0, le=1, description="least share of the area that a crop keeps")
    flip: float = Field(0.5, ge=0, le=1, description="chance of a mirrored view")
    jitter: float = Field(0.4, ge=0, le=1, description="of brightness, contrast and saturation")
    hue: float = Field(0.1, ge=0, le=0.5, description="turn of the hue, at most")
    grey: float = Field(0.2, ge=0, le=1, description="chance of a view without colour")
    blur: float = Field(0.5, ge=0, le=1, description="chance of a blurred view")


def augmentation(
    settings: Augment, size: int | Sequence[int], mean: Sequence[float], std: Sequence[float]
) -> Callable[[Any], torch.Tensor]:
    """PIL image or uint8 tensor `(3, h, w)` → a random view as the tower's input `(3, size, size)`."""
    import torch
    from torchvision.transforms import v2

    side = size if isinstance(size, int) else size[0]
    j = settings.jitter
    return v2.Compose(
        [
            v2.ToImage(),
            v2.RandomResizedCrop(side, scale=(settings.crop, 1.0), antialias=True),
            v2.RandomHorizontalFlip(settings.flip),
            v2.RandomApply([v2.ColorJitter(j, j, j, settings.hue)], 0.8),
            v2.RandomGrayscale(settings.grey),
            v2.RandomApply([v2.GaussianBlur(2 * (side // 20) + 1, (0.1, 2.0))], settings.blur),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(mean), list(std)),
        ]
    )


def two_views(
    view: Callable[[Any], torch.Tensor], image: Any, key: int
) -> tuple[Float[torch.Tensor, "3 h w"], Float[torch.Tensor, "3 h w"]]:
    """Two views `(3, h, w)` of an image; they depend on the image and on a 64-bit key alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key % 2**63)
        return view(image), view(image)


def slip_head(width: int, hidden: int, out: int) -> torch.nn.Sequential:
    """The three-layer head `(n, width)` → `(n, out)` that SLIP's term is computed behind (SLIP, section 3)."""
    from torch import nn

    layers: list[nn.Module] = []
    for inputs in (width, hidden):
        layers += [nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, out))
