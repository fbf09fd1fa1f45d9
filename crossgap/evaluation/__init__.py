"""All measures of one cell: stores in, flat metrics and per-query tables out.

Which tasks a cell has follows from what its stores hold: images, captions, class prompts, labellings, inversions.
"""

from importlib import import_module
from typing import Any

# a module of a task doesn't load the others: what a part of an evaluation depends on is its own module's imports
_PUBLIC = {
    "Cell": "crossgap.evaluation.cell",
    "EvaluationError": "crossgap.evaluation.cell",
    "Evaluation": "crossgap.evaluation.evaluation",
    "evaluate": "crossgap.evaluation.evaluation",
}
__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
