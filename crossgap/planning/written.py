"""What a run wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ENDING = ".zarr.zip"  # of stores


def stores(data: Path) -> list[Path]:
    """Every store below `data`, those of imports too, by path."""
    return sorted([*data.glob(f"features/*/*/*{ENDING}"), *data.glob(f"imports/*/*{ENDING}")])


def read(path: Path, kind: type = dict) -> Any:
    """The JSON in a file; None where it is absent, damaged or no `kind`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return found if isinstance(found, kind) else None
