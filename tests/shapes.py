"""The checker that `conftest.py` puts on functions of arrays while tests run: shapes, kinds and types by beartype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import beartype
import jaxtyping

MODULES = (
    "crossgap.arrays",
    "crossgap.corrections",
    "crossgap.inversion",
    "crossgap.losses",
    "crossgap.metrics",
)
# what modules name for type checkers alone; what they check by themselves may be anything
_NAMES = {
    name: getattr(jaxtyping, name)
    for name in ("Bool", "Float", "Float32", "Float64", "Int", "Int64", "Shaped")
}
_NAMES |= dict.fromkeys(("Backbone", "Features", "Labels"), Any)

Function = TypeVar("Function", bound=Callable)


def checked(function: Function) -> Function:
    """The function, which raises where its arguments or its result are not as annotated."""
    for name, meaning in _NAMES.items():
        function.__globals__.setdefault(name, meaning)
    return beartype.beartype(function)
