"""What a preset is, and what several share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Params = dict[str, Any]  # as read from YAML

TEMPLATE = "a photo of {}"  # of OTI, in the paper
NONE: dict[str, list[str]] = {"backbones": [], "datasets": []}
NO_INVERSIONS = {
    "oti": NONE,
    "ovi": NONE,
    "sweep": {**NONE, "tokens": []},
    "seeds": {**NONE, "methods": [], "seeds": []},
    "distil": {**NONE, "sources": [], "methods": [], "losses": []},
}


class Preset(NamedTuple):
    """A study.

    Attributes:
        words: what it is, in a line.
        change: params → params of the study.
        backbones, datasets: rows of the catalogue that it is about.
    """

    words: str
    change: Callable[[Params], Params]
    backbones: Sequence[str]
    datasets: Sequence[str]


def untrained(params: Params) -> Params:
    """Params without trainings."""
    return params | {"finetune": {}, "pretrain": {}, "idealised": {}}


def by_the_papers_recipe(inversion: Params) -> Params:
    """A section `oti` or `ovi` with the recipe of Cross the Gap, section 4.

    What is set beside the preset gives way, another template too, and queries alone are inverted.
    """
    set_beside = {"steps", "lr", "weight_decay", "patience", "tolerance", "optimiser"} & set(inversion)
    template = {"template": TEMPLATE} if "template" in inversion else {}
    return inversion | dict.fromkeys(sorted(set_beside)) | template | {"preset": "paper", "gallery": False}


def cells(backbones: Sequence[str], datasets: Sequence[str]) -> dict[str, list[str]]:
    return {"backbones": list(backbones), "datasets": list(datasets)}
