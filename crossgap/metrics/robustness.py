"""What may befall features on their way into an index: noise and quantisation. Definitions of this project.

Whether a query's nearest neighbour stays under noise, and that a gap makes it less likely, is asked in Is the Modality
Gap a Bug or a Feature? (arXiv 2603.29080).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from crossgap import fingerprint
from crossgap.arrays import item_names, real_number, unit_rows, whole_number
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from crossgap.arrays import Features, Labels

PRODUCT_BITS = 8  # of a code, so that as many as 256 rows are needed
PRODUCT_WIDTH = 8  # dimensions a code, at most


def noisy(features: Features, ids: Labels, variance: float, seed: int = 0) -> np.ndarray:
    """Unit rows `(n, d)` with Gaussian noise of this expected squared length, which follows from an id and the seed.

    Args:
        features: `(n, d)`, NumPy or torch.
        ids: `(n,)`, unique.
        variance: 0 or more: the sum over the d dimensions.

    Raises:
        TypeError, ValueError: features or ids that cannot be used, or a variance below 0.
    """
    real_number(variance, "variance")
    if not variance >= 0:
        raise ValueError(f"variance is {variance}: give 0 or more")
    rows = unit_rows(features, dtype=np.float64)
    width = rows.shape[1]
    return rows + np.sqrt(variance / width) * _noise(tuple(item_names(ids, len(rows))), width, seed)


@lru_cache(maxsize=1)
def _noise(names: tuple[str, ...], width: int, seed: int) -> np.ndarray:
    """Of variance 1, `(n, width)`; the same for one variance after another."""
    keys = fingerprint.draw(names, f"noise {seed}")
    found = np.empty((len(names), width))
    for row, key in zip(found, keys, strict=True):
        np.random.default_rng(int(key[:16], 16)).standard_normal(out=row)
    return found


def quantised(features: Features, bits: int) -> np.ndarray:
    """Unit rows `(n, d)` on a grid of 2^bits − 1 even values, the same for all, around 0: the largest entry is its end.

    Args:
        features: `(n, d)`, NumPy or torch.
        bits: of an entry, from 2; 1 keeps the signs alone, 0 counting as above.

    Raises:
        TypeError, ValueError: features that cannot be used, or fewer bits than 1.
    """
    whole_number(bits, "bits", 1)
    rows = unit_rows(features, dtype=np.float64)
    if bits == 1:
        return np.where(rows >= 0, 1.0, -1.0)
    steps = 2 ** (bits - 1) - 1
    rows /= max(rows.max(), -rows.min())
    rows *= steps
    np.rint(rows, out=rows)
    rows /= steps
    return rows


def product_quantised(features: Features) -> np.ndarray:
    """Unit rows `(n, d)` as a product quantiser trained on them gives them back: a byte for 8 dimensions or fewer.

    Raises:
        TypeError, ValueError: features that cannot be used; `UnavailableError` without the library faiss, or for fewer
            rows than its 256 centres.
    """
    rows = unit_rows(features, dtype=np.float32)
    width, centres = rows.shape[1], 2**PRODUCT_BITS
    if len(rows) < centres:
        raise UnavailableError(f"product quantisation of {len(rows)} items: give at least {centres}")
    try:
        import faiss
    except ImportError:
        raise UnavailableError("product quantisation needs faiss: pip install faiss-cpu") from None
    each = next(size for size in range(min(PRODUCT_WIDTH, width), 0, -1) if width % size == 0)
    quantiser = faiss.ProductQuantizer(width, width // each, PRODUCT_BITS)
    quantiser.cp.min_points_per_centroid = 1  # else it writes of few rows to the screen
    quantiser.train(rows)
    return quantiser.decode(quantiser.compute_codes(rows))
