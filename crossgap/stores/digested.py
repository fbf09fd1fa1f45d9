"""A file in scratch that begins with a digest of all that follows: by it one that is damaged is known."""

from __future__ import annotations

import os
from pathlib import Path

from crossgap import fingerprint
from crossgap.stores import temporary

_DIGEST = 32  # bytes


def write(path: Path, content: bytes) -> None:
    """Whole or not at all; what a crash of the machine leaves behind is known by its digest.

    Raises:
        DiskFullError: there is no room for it.
    """
    with temporary.named(path) as building, temporary.room_for(path, len(content)):
        building.write_bytes(fingerprint.of_bytes(content).encode() + content)
        os.replace(building, path)


def read(path: Path) -> bytes | None:
    """The content; None where the digest is of something else."""
    held = path.read_bytes()
    content = held[_DIGEST:]
    return content if fingerprint.of_bytes(content).encode() == held[:_DIGEST] else None
