"""Facts of published datasets, by the names they have in params.yaml: what no stage depends on."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from crossgap.datasets import DatasetError


class Facts(BaseModel):
    """Where a dataset comes from and how it lies on disk.

    Attributes:
        reference: the paper.
        licence: as its page says.
        url: its page.
        get: how it is had, beyond what the page says.
        tree: what lies under `root`.
        torchvision: class, and arguments beside `root` and `download`, that fetch it.
        huggingface: id of a dataset whose files are fetched as they are.
        folder: what torchvision's root has that is our `root`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    reference: str
    licence: str
    url: str
    get: str | None = None
    tree: str
    torchvision: dict[str, dict[str, str]] = {}
    huggingface: str | None = None
    folder: str | None = None


@cache
def known() -> dict[str, Facts]:
    """Every dataset that there are facts of, by name."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.yaml")):
        found |= yaml.safe_load(file.read_text(encoding="utf-8"))
    return {name: Facts(**facts) for name, facts in found.items()}


def facts_of(name: str) -> Facts:
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
    lines = [f"{facts.title}: {facts.url}"]
    lines += [facts.get] if facts.get else []
    lines += [f"`crossgap datasets get {name}` fetches it"] if facts.torchvision or facts.huggingface else []
    return "\n".join([*lines, "Under `root` there should be:", facts.tree.rstrip()])
