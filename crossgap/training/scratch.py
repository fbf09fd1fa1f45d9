"""A training's folder in scratch: its checkpoint, and by what it was made, so that `crossgap clean` knows it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from crossgap import fingerprint
from crossgap.stores import temporary

CHECKPOINT, RECIPE = "checkpoint.pt", "recipe.json"


def folder(scratch: Path, made_from: Any, made_by: dict[str, Any]) -> Path:
    """The folder of a training, for `remove` once what it makes is whole.

    Args:
        made_from: JSON-able: all that the training depends on; the folder is named after it.
        made_by: JSON-able: of this, the code and the settings.
    """
    found = scratch / fingerprint.of_json(made_from)
    found.mkdir(parents=True, exist_ok=True)
    temporary.write(found / RECIPE, json.dumps(made_by, indent=1, sort_keys=True).encode())
    return found


def remove(folder: Path) -> None:
    """Remove what a training kept.

    The folder stays where another process trains the same, as one does that outlived its `dvc repro`.
    """
    for name in (CHECKPOINT, RECIPE):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # not empty, or not there
        folder.rmdir()
