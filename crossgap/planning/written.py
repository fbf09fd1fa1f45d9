"""What a run wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read(path: Path, kind: type = dict) -> Any:
    """The JSON in a file; None where it is absent, damaged or no `kind`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return found if isinstance(found, kind) else None
