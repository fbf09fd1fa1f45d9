"""The temperature of a contrastive loss, fixed or learned."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

MAX_SCALE = 100.0  # 1 / temperature, where it is learned, as in CLIP (Radford et al. 2021, section 2.5)


class WithTemperature(nn.Module):
    """A module with a temperature, which is learned as the logarithm of its inverse."""

    def __init__(self, start: float, learns: bool, device: torch.device | None = None) -> None:
        super().__init__()
        if learns and not 1 / MAX_SCALE <= start <= 1:
            warnings.warn(
                f"temperature: {start:g} is brought into {1 / MAX_SCALE:g} to 1 after the first step, as CLIP keeps "
                "one that is learned: start from within, or give learn_temperature: false",
                stacklevel=2,
            )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(start), device=device), requires_grad=learns)

    @property
    def temperature(self) -> Float[Tensor, ""]:
        return torch.exp(-self.log_scale)

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring a temperature that is learned back to 1 / `MAX_SCALE` at least, and 1 at most."""
        if self.log_scale.requires_grad:
            self.log_scale.clamp_(0, math.log(MAX_SCALE))
