"""What controls of an evaluation may be: one rule for declarations, params.yaml and `evaluate` in Python."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def no_support(support: str | None, query: str) -> str | None:
    """Why a split can't be that of classes' means, given that of the queries; None if it can."""
    if support != query:
        return None
    return (
        f"controls.support: {query!r} is the split of the queries, which would find themselves: name another, or leave "
        "it out"
    )


def check_subsets(subsets: Mapping[str, Collection[str]]) -> None:
    """ValueError unless each subset names one labelling."""
    for name, labellings in subsets.items():
        if len(labellings) != 1:
            named = ", ".join(labellings) or "none"
            raise ValueError(f"{name!r} names the labellings {named}: give one, with its classes")


def check_arithmetic(arithmetic: Mapping[str, str]) -> None:
    """ValueError where a labelling is to be changed and kept."""
    if same := [name for name, kept in arithmetic.items() if name == kept]:
        raise ValueError(f"{same[0]!r} can't be changed and kept: name another labelling that is kept")
