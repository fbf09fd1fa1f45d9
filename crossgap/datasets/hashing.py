"""Random numbers as a function of their key: vectorised hashing of integers (splitmix64, Steele et al. 2014).

Unlike a generator's stream, a number here depends on its key alone: any item can be made by itself, in any order.
"""

from __future__ import annotations

import zlib

import numpy as np


def hashed(*parts: int | str | np.ndarray) -> np.ndarray:
    """A 64-bit hash of the parts, which broadcast against each other; words count by their CRC-32."""
    state = np.zeros(1, np.uint64)
    for part in parts:
        number = zlib.crc32(part.encode()) if isinstance(part, str) else part
        state = state ^ np.asarray(number).astype(np.uint64)
        state = state + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def uniform(hashes: np.ndarray) -> np.ndarray:
    """Hashes as float64 in [0, 1)."""
    return (hashes >> np.uint64(11)) * 2.0**-53
