"""Facts of published datasets, by the names of their rows: where they are had, and what they are called elsewhere."""

from __future__ import annotations

import re
from functools import cache

from pydantic import Field

from crossgap.catalogue import entries
from crossgap.datasets import DatasetError
from crossgap.strict import Strict


class DatasetFacts(Strict):
    """Where a dataset comes from and how it lies on disk.

    Attributes:
        reference: the paper.
        licence: as its page says.
        also: other names that it goes by.
        url: its page.
        protocol: who publishes retrieval with the row's queries and gallery.
        get: how it is had, beyond what the page says.
        tree: what lies under `root`.
        torchvision: class, and arguments beside `root` and `download`, that fetch it.
        huggingface: id of a dataset whose files are fetched as they are.
        folder: what torchvision's root has that is our `root`.
    """

    title: str
    also: list[str] = Field([])
    reference: str
    licence: str
    url: str | None = None
    protocol: str | None = None
    get: str | None = None
    tree: str = ""
    torchvision: dict[str, dict[str, str]] = Field({})
    huggingface: str | None = None
    folder: str | None = None


@cache
def known() -> dict[str, DatasetFacts]:
    """Every dataset that there are facts of, by name."""
    return {name: DatasetFacts(**facts) for name, facts in entries.facts("datasets").items()}


def plain(name: str) -> str:
    """Letters and digits of a name: `oxford_flowers` and `Oxford Flowers` are the same."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def names() -> dict[str, str]:
    """Plain names that datasets go by: of the row, its title, in published tables, and others; → the row's name."""
    rows = entries.rows("datasets")
    return {
        plain(name): of
        for of, facts in known().items()
        for name in (of, facts.title, *facts.also, rows[of].get("controls", {}).get("published") or of)
    }


def facts_of(name: str) -> DatasetFacts:
    """The facts of one.

    Raises:
        DatasetError: there are none; names those that are known.
    """
    if name not in known():
        raise DatasetError(f"{name!r} is none of the known datasets: {', '.join(known())}")
    return known()[name]


def how_to_get(name: str) -> str:
    """What to do to have the dataset, and what should lie there then."""
    facts = facts_of(name)
    lines = [f"{facts.title}: {facts.url}" if facts.url else facts.title]
    lines += [facts.get] if facts.get else []
    lines += [f"`crossgap datasets get {name}` fetches it"] if facts.torchvision or facts.huggingface else []
    lines += ["Under `root` there should be:", facts.tree.rstrip()] if facts.tree else []
    return "\n".join(lines)
