"""What was found in images' files before, so that a dataset that has changed a little is read as little.

A file whose size and times are those of its last check is not read again. Any other is read, and decoded if no file of
its bytes was before. The table of checks lies in scratch: deleting it between runs loses only work.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import PIL
import pyarrow as pa
import pyarrow.parquet as pq

from crossgap import closure
from crossgap.datasets.image_files import read_bytes, stamp
from crossgap.datasets.images import Check, check_bytes
from crossgap.errors import ImageError
from crossgap.fingerprint import of_content
from crossgap.progress import Bar
from crossgap.stores import digested, temporary

SETTLED = (
    2_000_000_000  # ns: a file that was written so shortly before may change again within a tick of its clock
)
_SAVED_EVERY = 60  # seconds
_SUBMITTED_AT_ONCE = 4096


class Checks:
    """The checks of files below a root, by their paths relative to it.

    Attributes:
        read, decoded: how many files were, so far.
    """

    def __init__(self, root: str | Path, file: Path | None = None, rehash: bool = False) -> None:
        """Take up what `file` holds of the same code and the same Pillow.

        Args:
            file: where checks are kept; nowhere, if not given.
            rehash: read every file, whatever its size and times.
        """
        self.root, self.file = Path(root), file
        self.read = self.decoded = 0
        self._lock = threading.Lock()
        self._made: dict[str, tuple[str, Check]] = {}  # path → stamp, and what was found
        self._held: dict[str, tuple[str, Check]] = {}
        if file is not None:
            self._code = closure.digest("crossgap.datasets.checks")
            self._held = self._load(file, rehash)
        self._decoded = {check.digest: check for _, check in self._held.values()}
        self._saved = time.monotonic()

    def of(self, path: str) -> Check:
        """What is, or was, found in the file at a path."""
        now = time.time_ns()
        try:
            size, *times, place = stamp(self.root, path)
            settled = "" if max(times) > now - SETTLED else f"{size} {times} {place}"
            held = self._held.get(path)
            if held is not None and settled and held[0] == settled:
                self._made[path] = held
                return held[1]
            data = read_bytes(self.root, path)
        except ImageError as error:
            return Check(None, error.problem)
        digest = of_content(data)
        known = self._decoded.get(digest)
        found = known or check_bytes(path, data, digest)
        with self._lock:
            self.read += 1
            self.decoded += known is None
        self._made[path], self._decoded[digest] = (settled, found), found
        return found

    def all(self, paths: Iterable[str], workers: int = 8) -> pd.DataFrame:
        """`of` every path, in order, by threads, and `save`: a table of `path` and the fields of `Check`."""
        paths, rows = list(paths), []
        progress = Bar(total=len(paths), desc="checking images", unit="image")
        with ThreadPoolExecutor(max(1, workers)) as pool, progress:
            for start in range(0, len(paths), _SUBMITTED_AT_ONCE):
                some = paths[start : start + _SUBMITTED_AT_ONCE]
                for path, found in zip(some, pool.map(self.of, some), strict=True):
                    rows.append((path, *found))
                    progress.update()
                self.save(whole=False)
        self.save()
        return pd.DataFrame(rows, columns=["path", *Check._fields], dtype=object)

    def save(self, whole: bool = True) -> None:
        """Keep what was found.

        Args:
            whole: every file was checked: those of which nothing was asked are forgotten. Where it is false, they are
                kept, and nothing is done more often than each minute.

        Raises:
            DiskFullError: there is no room for it.
        """
        if self.file is None or (not whole and time.monotonic() - self._saved < _SAVED_EVERY):
            return
        kept = self._made if whole else self._held | self._made
        rows = [(path, stamp, *check) for path, (stamp, check) in sorted(kept.items())]
        names = ("path", "stamp", *Check._fields)
        columns = {name: pa.array([row[k] for row in rows]) for k, name in enumerate(names)}
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), sink, compression="zstd")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary.remove_leftovers(self.file.parent)
        head = json.dumps({**self._made_by(), "root": str(self.root)}).encode()
        digested.write(self.file, head + b"\n" + sink.getvalue().to_pybytes())
        self._saved = time.monotonic()

    def _made_by(self) -> dict[str, str]:
        return {"code": self._code, "pillow": PIL.__version__}

    def _load(self, file: Path, rehash: bool) -> dict[str, tuple[str, Check]]:
        if not file.exists():
            return {}
        content = digested.read(file)
        if content is None:
            warnings.warn(
                f"{file} is damaged (its content isn't what its digest says): every image is read again",
                stacklevel=3,
            )
            return {}
        head, _, table = content.partition(b"\n")
        said = json.loads(head)
        root = said.pop("root")
        if said != self._made_by():
            return {}
        columns = pq.read_table(pa.BufferReader(table), use_threads=False).to_pydict()
        stamps = columns["stamp"] if root == str(self.root) and not rehash else [""] * len(columns["path"])
        found = zip(*(columns[name] for name in Check._fields), strict=True)
        return {
            path: (stamp, Check(*check))
            for path, stamp, check in zip(columns["path"], stamps, found, strict=True)
        }
