"""Parquet files that a declaration names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crossgap.datasets.declared import DatasetError
from crossgap.errors import of_machine

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(file: Path, what: str, remedy: str) -> pa.Table:
    """The file's table; `what` begins messages, `remedy` ends them.

    Raises:
        DatasetError: the file can't be read, or is no parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        if of_machine(error):
            raise
        raise DatasetError(f"{what}{file} can't be read: {str(error).splitlines()[0]}: {remedy}") from None
