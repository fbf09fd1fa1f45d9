"""A cell on its way through an evaluation: what is kept of it, what it can't have, what it is computed on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any, ParamSpec, TypeVar

import pandas as pd

from crossgap import closure
from crossgap.evaluation.cell import Cell
from crossgap.evaluation.inversions import content
from crossgap.evaluation.options import FAMILIES
from crossgap.evaluation.parts import Parts
from crossgap.evaluation.unavailable import Reasons
from crossgap.stores.store import Store

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Work:
    """What the tasks of a cell share.

    Attributes:
        device: that rankings are computed on; it changes no result.
        families: of `options.FAMILIES`, whose parts are computed; what is of none of them always is.
    """

    cell: Cell
    parts: Parts = field(default_factory=Parts)
    reasons: Reasons = field(default_factory=Reasons)
    device: str = "cpu"
    families: Collection[str] = FAMILIES

    def part(
        self,
        family: str,
        name: str,
        compute: Callable[[Reasons], pd.DataFrame | dict[str, float]],
        *,
        by: str,
        rival: str | tuple[str, ...] | None = None,
        inversions: Iterable[Store] = (),
        **settings: Any,
    ) -> Any:
        """`compute(reasons)`, or what an earlier evaluation kept of it; None where it can't be had, or isn't asked for.

        It may depend on nothing but the cell's native store and splits, and on what is named here.

        Args:
            family, name: that `reasons` name it by.
            by: the name of the module that computes it; all that this imports counts.
            rival: the correction that it uses, or several.
            inversions: stores that it reads.
            settings: JSON-able.
        """
        if family in FAMILIES and family not in self.families:
            self.reasons.add([(family, "all of it", "evaluate.families leaves it out")])
            return None

        def depends() -> dict[str, Any]:
            return {
                "cell": self.cell.said,
                "code": [_code(by, rival), _libraries()],
                "inversions": [_content(store) for store in inversions],
                "settings": settings,
            }

        return self.parts.of(family, name, depends, compute, self.reasons)


def calling(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Callable[[Reasons], T]:
    """What `Work.part` takes, of a function that sets nothing aside: it is called with these arguments."""
    return lambda _reasons: function(*arguments, **named)


@cache
def _code(by: str, rival: str | tuple[str, ...] | None) -> str:
    rivals = (rival,) if isinstance(rival, str) else rival or ()
    return closure.digest(by, chosen=tuple(f"crossgap.corrections.{name}" for name in rivals))


@cache
def _libraries() -> list[str]:
    """Versions of those that numbers come from."""
    return [f"{name} {version(name)}" for name in ("numpy", "scikit-learn")]


def _content(store: Store) -> list[Any]:
    method, recipe = (store.provenance[name] for name in ("method", "recipe"))
    return [content(store), method, recipe]
