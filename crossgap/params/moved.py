"""What a params.yaml of an older shape has that is elsewhere now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crossgap.catalogue import entries

_REMEDY = "`crossgap migrate` rewrites the file"


def moved(raw: dict[str, Any]) -> list[str]:
    """A line a field that is elsewhere now, and the remedy; none of a file of today's shape."""
    lines = list(_moved(raw))
    return [*lines, f"{_REMEDY}, and keeps its comments"] if lines else []


def _moved(raw: dict[str, Any]) -> Iterator[str]:
    old = "nano" in raw
    if old:
        yield (
            "nano: the recipe of the embedded backbone is part of crossgap now (crossgap/catalogue/nano.yaml): remove "
            "the section; fields that differ make a row of `pretrain`"
        )
    for section in ("finetune", "pretrain"):
        for name in _names(raw, section):
            if name in _names(raw, "backbones"):
                yield f"backbones.{name}: {section}.{name} is this backbone; remove the row"
    if not old:
        return
    for section in ("backbones", "datasets"):
        rows = entries.rows(section)
        own = _names(raw, section)
        if same := [name for name in own if own[name] == rows.get(name)]:
            yield f"{section}: the rows of {', '.join(same)} are in the catalogue now; remove them"
        for name in [name for name in own if name in rows and own[name] != rows[name]]:
            yield (
                f"{section}.{name}: differs from the catalogue's row, in whose place it stands; keep it, or remove it"
            )
    for section in ("finetune", "pretrain", "idealised"):
        if section not in raw:
            yield f"{section}: missing; add it: {section}: {{}}"


def _names(raw: dict[str, Any], section: str) -> dict[str, Any]:
    held = raw.get(section)
    return held if isinstance(held, dict) else {}
