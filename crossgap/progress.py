"""How far a long work is: a bar on a terminal; in a log a plain line from time to time, and none of short works."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

EVERY = 30.0  # seconds between two lines


class Lines:
    """Prints a line at most every `EVERY` seconds.

    Args:
        name, unit: of the work and of its items, in the singular.
        total: of all items, if that is known.
        first: how many were done before.
    """

    def __init__(self, name: str, unit: str, total: float | None = None, first: float = 0) -> None:
        self.name, self.unit, self.total, self.first, self.done = name, unit, total, first, first
        self.began = self.said = time.monotonic()

    def advance(self, count: float = 1) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.said >= EVERY:
            self.said = now
            print(f"{self.name}: {self._words(now - self.began)}", file=sys.stderr, flush=True)

    def _words(self, seconds: float) -> str:
        if not self.total:
            return f"{self.done:,} {self.unit}s are done"
        left = (self.total - self.done) * seconds / max(1, self.done - self.first)
        share = f"{self.done:,} of {self.total:,} {self.unit}s, {self.done / self.total:.0%}"
        return f"{share}, about {_time(left)} left"


class Bar(tqdm):
    """tqdm's bar; `Lines` where standard error is no terminal."""

    def __init__(self, *args: Any, desc: str, unit: str, **options: Any) -> None:
        super().__init__(*args, desc=desc, unit=unit, disable=None, **options)
        self._lines = Lines(desc, unit, self.total, self.n) if self.disable else None

    def __iter__(self) -> Iterator[Any]:
        if self._lines is None:
            yield from super().__iter__()
            return
        for one in self.iterable:
            yield one
            self.update()

    def update(self, n: float | None = 1) -> bool | None:
        if self._lines is None:
            return super().update(n)
        self._lines.advance(n or 0)
        return None


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
