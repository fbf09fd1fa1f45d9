"""Tables of parquet: those that a stage wrote, and what is the same for those of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from crossgap.errors import CrossgapError, of_machine

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

REPAIR = "`crossgap verify --repair` takes it away, then `dvc repro`"


def read(path: Path, remedy: str = REPAIR, filters: list[tuple[str, str, int]] | None = None) -> pd.DataFrame:
    """The table; with `filters` of pyarrow's, those of its rows.

    Raises:
        CrossgapError: it is damaged or missing; the message ends in the remedy.
    """
    with refused(lambda why: CrossgapError(f"{path} is damaged ({why}): {remedy}")):
        return table(path, filters).to_pandas()


def table(path: Path, filters: list[tuple[str, str, int]] | None = None) -> pa.Table:
    """pyarrow's table, all of whose values can be had; errors are pyarrow's own."""
    import pyarrow.parquet as pq

    # pyarrow takes a relative path with a colon for a URI
    found = pq.read_table(path.absolute(), filters=filters)
    # text that is no UTF-8 would be met where a value is asked for
    found.validate(full=True)
    return found


@contextmanager
def refused(refusal: Callable[[str], CrossgapError]) -> Iterator[None]:
    """Turn any error of a library that reads a file, but for the machine's, into `refusal(why)`, on one line."""
    try:
        yield
    except Exception as error:
        if isinstance(error, CrossgapError) or of_machine(error):
            raise
        missing = isinstance(error, FileNotFoundError)
        raise refusal("it is missing" if missing else str(error).partition("\n")[0]) from None
