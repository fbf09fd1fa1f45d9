"""A row of the catalogue, or of params.yaml, as it is copied into params.yaml."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgap.errors import like

if TYPE_CHECKING:
    from crossgap.catalogue.entries import Section

_WIDTH = 110


def shown(section: Section, name: str, params: Path, about: Iterable[str]) -> str:
    """A row in YAML, two columns in, with what is known of it as comments: to be put under its section.

    Raises:
        ParamsError: neither the catalogue nor params.yaml has it; names what there is.
    """
    from crossgap.params.editing import entry

    row, whose = found(section, name, params)
    comments = [f"under `{section}:` in params.yaml; {whose}", *about]
    return "\n".join([*map(_comment, comments), *entry(name, row, column=2)])


def found(section: Section, name: str, params: Path) -> tuple[dict[str, Any], str]:
    """A row, and whose it is.

    Raises:
        ParamsError: as `shown`.
    """
    from crossgap.catalogue import entries
    from crossgap.params.reading import ParamsError, read

    raw = read(params) if params.exists() else {}
    own = raw.get(section) or {}
    if name in own:
        beside = ", in the place of the catalogue's" if name in entries.rows(section) else ""
        return own[name], f"as {params} has it{beside}"
    if name in entries.rows(section):
        return entries.rows(section)[name], "as the catalogue has it: edit it, and it stands in its place"
    for training in ("finetune", "pretrain") if section == "backbones" else ():
        if name in (raw.get(training) or {}):
            raise ParamsError(f"{name!r} is what {training}.{name} of {params} makes: it has no row")
    known = sorted({*own, *entries.rows(section)})
    raise ParamsError(
        f"there is no {name!r} in the catalogue, nor under {section} in {params}{like(name, known)}; there are "
        f"{', '.join(known)}"
    )


def _comment(text: str) -> str:
    """Lines that are too long are wrapped; others stay as they are."""
    lines = []
    for line in text.splitlines():
        long = len(line) > _WIDTH
        lines += (
            textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False) if long else [line]
        )
    return "\n".join(f"  # {line}".rstrip() for line in lines)
