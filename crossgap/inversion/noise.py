"""The noise an item's pseudo-tokens start from: a function of the item's id and the seed, and of nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float32

STD = 0.02


def initial_tokens(ids: Sequence[str], seed: int, shape: tuple[int, int]) -> Float32[np.ndarray, "n t width"]:
    """`(n, *shape)` float32 drawn from N(0, 0.02²), one Philox stream an item."""
    out = np.empty((len(ids), *shape), np.float32)
    for row, item in enumerate(ids):
        key = hashlib.blake2b(f"{seed}\0{item}".encode(), digest_size=16).digest()
        stream = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
        out[row] = stream.standard_normal(shape, np.float32) * STD
    return out
