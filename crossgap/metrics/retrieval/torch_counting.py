"""`Counter` in torch, for GPUs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from crossgap.errors import CrossgapError
from crossgap.metrics.retrieval.counting import keys

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Shaped


def cuda_device(name: str) -> torch.device | None:
    """The GPU of `cuda`, `cuda:N` or `auto`; None if `auto` finds none.

    Raises:
        CrossgapError: another name, or a GPU that torch doesn't find.
    """
    if not isinstance(name, str):
        raise CrossgapError(f"device is {name!r}: give 'cpu', 'cuda', 'cuda:N' or 'auto'")
    if name == "auto" and not torch.cuda.is_available():
        return None
    if not re.fullmatch(r"auto|cuda(:\d+)?", name):
        raise CrossgapError(f"device is {name!r}: give 'cpu', 'cuda', 'cuda:N' or 'auto'")
    device = torch.device("cuda" if name == "auto" else name)
    if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
        raise CrossgapError(
            f"device is {name!r}, but torch finds {torch.cuda.device_count()} GPUs: give 'cpu'"
        )
    return device


class TorchCounter:
    """Tiles as float64 tensors, exact on any device, and their keys sorted row by row."""

    def __init__(self, device: torch.device | str) -> None:
        self.device = device

    def put(self, rows: Shaped[np.ndarray, "*shape"]) -> Shaped[Tensor, "*shape"]:
        return torch.from_numpy(rows).to(self.device)

    def steps_of(
        self,
        rows: Float64[Tensor, "r d"],
        block: Float64[Tensor, "g d"],
        row: Int64[np.ndarray, " p"],
        item: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        products = rows[self.put(row)] * block[self.put(item)]
        return products.sum(dim=1).round().long().cpu().numpy()

    def ahead(
        self,
        rows: Float64[Tensor, "r d"],
        some: slice,
        block: Float64[Tensor, "g d"],
        row: Int64[np.ndarray, " p"],
        step: Int64[np.ndarray, " p"],
        place: Int64[np.ndarray, " p"],
    ) -> Int64[np.ndarray, " p"]:
        scores = rows[some] @ block.T
        height, length = scores.shape
        places = torch.arange(length, device=self.device)
        ordered = keys(torch.arange(height, device=self.device)[:, None], scores.round_().long(), places)
        ordered = ordered.sort(dim=1).values.view(-1)
        given = self.put(keys(row, step, place))
        return torch.searchsorted(ordered, given).cpu().numpy() - row * length
