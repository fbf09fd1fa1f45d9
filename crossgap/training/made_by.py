"""The mark in the folder of a trained backbone: which row of params.yaml it was trained by."""

from __future__ import annotations

import json
from pathlib import Path

from crossgap import links

FILE = "made_by.json"


def mark(folder: Path, section: str, row: str) -> None:
    """Write the mark: the section of params.yaml and the name of its row."""
    text = json.dumps({"section": section, "row": row}, indent=1) + "\n"
    links.write(folder / FILE, text)


def marked(folder: Path) -> list[Path]:
    """The folders below this one that have a mark."""
    return [found.parent for found in folder.glob(f"*/{FILE}")]


def row_of(folder: Path) -> str | None:
    """The name of the row that trained a backbone; None where there is no mark, or none that can be read."""
    try:
        said = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return said.get("row") if isinstance(said, dict) else None
