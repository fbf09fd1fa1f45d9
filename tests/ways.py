"""The ways to products of exact rows, one of them at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from crossgap.metrics import near

DIGITS = ("digits",) if near.sums_of_bytes_are_exact() else ()  # not so on old processors
WAYS = ("float64", "float32", *DIGITS)


@contextmanager
def only(way: str) -> Iterator[None]:
    """Whatever the machine and the size of the work; float64 for rankings alone."""
    most = -1.0 if way == "float64" else float("inf")
    with (
        mock.patch.object(near, "WORK_FOR_DIGITS", 0),
        mock.patch.object(near, "_digits_are_exact", lambda: way == "digits"),
        mock.patch.object(near.InFloats, "most", most),
        mock.patch.object(near.InDigits, "most", most),
    ):
        yield
