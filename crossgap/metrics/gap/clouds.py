"""Two clouds of unit rows, as measures of the gap take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import check_widths, unit_rows
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features


def clouds(
    x: Real[Features, "n d"], y: Real[Features, "m d"], what: str
) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]:
    """The unit rows of `x` `(n, d)` and `y` `(m, d)`, for a measure that is called `what`.

    Raises:
        TypeError, ValueError: features that cannot be used; `UnavailableError` for fewer than 2 rows on a side.
    """
    x, y = unit_rows(x, "x", np.float64), unit_rows(y, "y", np.float64)
    check_widths(x, y, ("x", "y"))
    if min(len(x), len(y)) < 2:
        raise UnavailableError(f"{what} of {len(x)} and {len(y)} rows: give at least 2 on each side")
    return x, y
