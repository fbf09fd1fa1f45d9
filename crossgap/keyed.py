"""`FILE[:KEY]`: an array in a file of several."""

from __future__ import annotations

from pathlib import Path


def file_and_key(given: str) -> tuple[Path, str | None]:
    """The file, and the key behind its last colon; None where there is none, or where the whole is a file's name."""
    path, colon, key = given.rpartition(":")
    if not colon or Path(given).is_file():
        return Path(given), None
    return Path(path), key or None
