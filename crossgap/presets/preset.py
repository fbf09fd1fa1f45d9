"""What a preset is, and what several share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Params = dict[str, Any]  # as read from YAML

NONE = {"backbones": [], "datasets": []}
NO_INVERSIONS = {
    "oti": NONE,
    "ovi": NONE,
    "sweep": {**NONE, "tokens": []},
    "seeds": {**NONE, "methods": [], "seeds": []},
}
# Cross the Gap, section 4: what users may have set beside the preset gives way, and queries alone are inverted
PAPER = {
    **dict.fromkeys(("steps", "lr", "weight_decay", "patience", "tolerance")),
    "preset": "paper",
    "gallery": False,
}


class Preset(NamedTuple):
    """A study.

    Attributes:
        words: what it is, in a line.
        change: params → params of the study.
        backbones, datasets: rows that params must have.
    """

    words: str
    change: Callable[[Params], Params]
    backbones: Sequence[str]
    datasets: Sequence[str]

    def lacking(self, params: Params) -> str:
        """The rows that params lack, by section; "" where there are none."""
        lacking = {
            section: [name for name in getattr(self, section) if name not in params[section]]
            for section in ("backbones", "datasets")
        }
        return "; ".join(f"{section}: {', '.join(names)}" for section, names in lacking.items() if names)


def untrained(params: Params) -> Params:
    """Params without trainings and the backbones that these make."""
    made = {*params.get("finetune", {}), *params.get("pretrain", {})}
    catalogue = {name: row for name, row in params["backbones"].items() if name not in made}
    return params | {"backbones": catalogue, "finetune": {}, "pretrain": {}, "idealised": {}}


def cells(backbones: Sequence[str], datasets: Sequence[str]) -> dict[str, list[str]]:
    return {"backbones": list(backbones), "datasets": list(datasets)}
