"""The catalogue's files: an entry a backbone or dataset, its row of params.yaml beside its facts."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

FOLDER = Path(__file__).parent
Section = Literal["backbones", "datasets"]
_FILES: dict[Section, str] = {"backbones": "backbones.yaml", "datasets": "datasets/*.yaml"}


def rows(section: Section) -> dict[str, dict[str, Any]]:
    """The rows by name, as params.yaml would have them; not validated."""
    return {name: entry["row"] for name, entry in _entries(section).items()}


def facts(section: Section) -> dict[str, dict[str, Any]]:
    """What else is known of each, by name."""
    return {
        name: {field: fact for field, fact in entry.items() if field != "row"}
        for name, entry in _entries(section).items()
    }


@cache
def nano() -> dict[str, Any]:
    """The recipe of the embedded backbone."""
    return _read(FOLDER / "nano.yaml")


@cache
def _entries(section: Section) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(FOLDER.glob(_FILES[section])):
        found |= _read(file)
    return found


def _read(file: Path) -> dict[str, Any]:
    # libyaml's reader, where PyYAML was built with it, is ten times as fast
    return yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe one
