"""How kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def made(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # neither the module's folder nor the user's can be written
            return njit(nogil=True, **options)(function)

    return made


kernel = compiled()
# sums in any order: of exact products they are one number
exact_kernel = compiled(fastmath={"reassoc", "contract", "nsz"})
