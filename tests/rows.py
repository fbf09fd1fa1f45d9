"""Rows of features."""

from __future__ import annotations

import numpy as np


def unit(rows: object) -> np.ndarray:
    """Vectors, or rows of them, of length 1, in float64."""
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(np.float64), other.astype(np.float64)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def cloud(seed: int, n: int = 40, d: int = 8) -> np.ndarray:
    """Correlated features `(n, d)` whose mean is not zero."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)
