"""Short names for what something was made from: equal content, equal fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Shaped


def of_bytes(*parts: bytes) -> str:
    """128-bit BLAKE2b, in hex, of length-prefixed parts (so that no two lists of parts collide by joining)."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def draw(names: Iterable[str], seed: str) -> list[str]:
    """What decides of each item whether it is drawn: a function of its own name and the seed, whatever is beside it."""
    return [of_bytes(seed.encode(), name.encode()) for name in names]


def of_content(content: bytes) -> str:
    """128-bit BLAKE2b, in hex, of a file's or a text's bytes: the manifest's `digest`."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def of_json(value: Any) -> str:
    """Fingerprint of a JSON-able value, whatever the order of its keys."""
    return of_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())


def of_rows(array: Shaped[np.ndarray, "n ..."]) -> list[str]:
    """One fingerprint a row of an `(n, ...)` array, of its values and dtype."""
    array = np.ascontiguousarray(array)
    dtype = str(array.dtype).encode()
    return [of_bytes(dtype, row.tobytes()) for row in array]


def sha256_of_files(paths: list[Path]) -> str:
    """SHA-256, in hex, of the files' bytes one after the other.

    A process reads them once while their sizes and times stay the same: weights are compared with what is noted of them
    before they are loaded, and again by what loads them.
    """
    return _sha256(tuple((path.absolute(), _stamp(path)) for path in paths))


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes with a file, but for what is written within one tick of the file system's clock."""
    held = path.stat()
    return held.st_dev, held.st_ino, held.st_size, held.st_mtime_ns, held.st_ctime_ns


@cache
def _sha256(stamped: tuple[tuple[Path, tuple[int, ...]], ...]) -> str:
    digest = hashlib.sha256()
    for path, _ in stamped:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def differing(held: Mapping[str, str], noted: Mapping[str, str]) -> list[str]:
    """Names of files that were changed, added or taken away since their digests were noted."""
    return sorted(file for file in held.keys() | noted.keys() if held.get(file) != noted.get(file))


def read_again(stage: str) -> str:
    """The remedy for such a file: the stage that notes digests, which DVC doesn't see a reason to run."""
    return f"`dvc repro -f -s {stage}` reads it again, then `dvc repro`"
