"""Which relevances a mean over labellings counts, and which one stands for a cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MEDIUM, BESIDE_IT = "medium", frozenset({"easy", "hard"})  # settings of revisited landmarks


def uncounted(relevances: Iterable[str], subsets: Iterable[str] = ()) -> frozenset[str]:
    """Those of a cell's relevances that no mean over labellings counts.

    Controls on a subset of a labelling's classes, `subsets`, are none; and of the settings easy, medium and hard, which
    judge the same queries, medium alone counts, whose right answers are those of the other two: papers report it.
    """
    settings = BESIDE_IT if {MEDIUM, *BESIDE_IT} <= {*relevances} else frozenset()
    return frozenset(subsets) | settings


def standing(relevances: Sequence[str], subsets: Iterable[str] = ()) -> str:
    """The one that is shown where there is room for one: the first that a mean counts, else the first."""
    aside = uncounted(relevances, subsets)
    return next((one for one in relevances if one not in aside), relevances[0])
