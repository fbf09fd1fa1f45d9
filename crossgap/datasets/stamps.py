"""Stamps of the files that a dataset lies in, their sizes and times: by them a change is seen without reading a file.

`prepare` notes them in scratch, a note for each declaration of a dataset. DVC watches none of these files: what was
made by a declaration it hands out again for that declaration, whatever lies there since.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossgap import fingerprint
from crossgap.datasets.declared import Declaration
from crossgap.datasets.image_files import walk
from crossgap.errors import listed
from crossgap.stores import digested, temporary

ENDING = ".stamps"
Stamps = Mapping[str, tuple[int, int]]  # path → size, and time of writing in ns


def of(declaration: Declaration) -> Stamps:
    """Of the files that a declaration names, and of those that lie in the folders that it names.

    Hidden files don't count, nor what lies in a folder that the project lies in, where runs write.
    """
    found: dict[str, tuple[int, int]] = {}
    for path in declaration.paths.values():
        if path.is_file():
            _add(found, str(path))
        elif path.is_dir() and not Path.cwd().is_relative_to(path.resolve()):
            for inside in walk(path):
                _add(found, os.path.join(path, inside))
    return found


def _add(found: dict[str, tuple[int, int]], path: str) -> None:
    try:
        status = os.stat(path)
    except OSError:  # a link that leads nowhere, or to itself
        return
    found[path] = status.st_size, status.st_mtime_ns


def note_of(scratch: Path, name: str, declared: Mapping[str, Any]) -> Path:
    """The file of the note on a dataset as it is `declared`, which `data/resolved` says."""
    return scratch / "prepare" / f"{name}-{fingerprint.of_json(dict(declared))}{ENDING}"


def write(note: Path, stamps: Stamps) -> None:
    """Note stamps that were taken before the dataset was read.

    Raises:
        DiskFullError: there is no room for it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"path": list(stamps), "size": [size for size, _ in stamps.values()]}
    table = pa.table(columns | {"time": [time for _, time in stamps.values()]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    note.parent.mkdir(parents=True, exist_ok=True)
    temporary.remove_leftovers(note.parent)
    digested.write(note, sink.getvalue().to_pybytes())


def changed(note: Path, declaration: Declaration) -> str:
    """In words, which files have another size or time than they had, are new, or are gone; "" where none is.

    "" too where there is no note that is whole. Of what the declaration names and isn't there nothing is said: who has
    pulled what was made of it can do without.
    """
    content = digested.read(note) if note.is_file() else None
    if content is None:
        return ""
    before, now = _read(content), of(declaration)
    for missing in (path for path in declaration.paths.values() if not path.exists()):
        before = {path: stamp for path, stamp in before.items() if not Path(path).is_relative_to(missing)}
    kinds = {
        "changed": [path for path, stamp in now.items() if before.get(path, stamp) != stamp],
        "new": [path for path in now if path not in before],
        "gone": [path for path in before if path not in now],
    }
    return ", ".join(f"{len(paths)} {kind} ({listed(paths)})" for kind, paths in kinds.items() if paths)


def _read(content: bytes) -> Stamps:
    import pyarrow as pa
    import pyarrow.parquet as pq

    held = pq.read_table(pa.BufferReader(content), use_threads=False).to_pydict()
    return dict(zip(held["path"], zip(held["size"], held["time"], strict=True), strict=True))
