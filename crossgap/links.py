"""Outputs may be links into a cache that others share: what is written takes their place, and what they lead to stays.

Nothing here waits for the disk, as `stores.temporary` does: a run writes thousands of small files.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def freed(path: Path) -> Path:
    """The path of a file that is written next, with nothing there."""
    path.unlink(missing_ok=True)
    return path


def write(path: Path, text: str) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    freed(path).write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there; where it is a link, only the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
