"""Outputs may be links into a cache that others share: what is written takes their place, and what they lead to stays.

Nothing here waits for the disk, as `stores.temporary` does: a run writes thousands of small files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def freed(path: Path) -> Path:
    """The path of a file that is written next, with nothing there."""
    path.unlink(missing_ok=True)
    return path


def write(path: Path, text: str) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _told(path):
        freed(path).write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there; where it is a link, only the link."""
    if path.is_dir() and not path.is_symlink():
        with _told(path):
            shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """An error that says no path, or that of a file without its folders, says this one."""
    try:
        yield
    except OSError as error:
        if not str(error.filename).startswith(str(path)):
            error.filename = str(path)
        raise
