"""Bounds on what files may claim: a few bytes of a stranger's can stand for terabytes.

A file that holds little and claims much is refused before room is made for it. What it claims is bounded by what it
holds, so that no honest file meets a limit, however large: features hardly shrink when they are compressed, and labels
that repeat without end shrink by less than `RATIO` or stay below `LARGE`.
"""

from __future__ import annotations

from pathlib import Path

from crossgap.errors import CrossgapError

LARGE = 1 << 30  # bytes that anything may claim
RATIO = 1000  # claimed bytes for each that is held, beyond those
_A_VALUE = 8  # bytes of a table's row at least, as it is read
MOST_PIXELS = 178_956_970  # of an image: 512 MiB as RGB; Pillow's own limit
MOST_IMAGE = 1 << 30  # bytes of an image's file


class ClaimError(CrossgapError):
    """A file claims more than it can hold; the message names it, both numbers and the remedy."""


def check(what: str, claimed: int, held: int) -> None:
    """Nothing where a claim is small, or not out of all proportion.

    Args:
        what: the file, and which part of it.
        claimed, held: bytes in memory, and in the file.

    Raises:
        ClaimError: it is.
    """
    if claimed > LARGE and claimed > RATIO * held:
        raise ClaimError(
            f"{what} claims {claimed} bytes and holds {held}, under a thousandth of them: it is damaged or made to "
            "fill the memory, and is not read; if you trust it, write it again without compression"
        )


def check_table(what: str, file: Path) -> None:
    """`check` of a parquet file's rows: in it, a value that repeats costs nothing.

    Raises:
        ClaimError: it has too many for its bytes. Errors of a damaged file are pyarrow's own.
    """
    import pyarrow.parquet as pq

    check(what, pq.read_metadata(file.absolute()).num_rows * _A_VALUE, file.stat().st_size)
