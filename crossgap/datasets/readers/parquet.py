"""Parquet files that a declaration names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crossgap import claims
from crossgap.datasets.declared import DatasetError
from crossgap.errors import of_machine

if TYPE_CHECKING:
    import pyarrow as pa

_A_VALUE = 8  # bytes of a row at least, as it is read


def read_parquet(file: Path, what: str, remedy: str) -> pa.Table:
    """The file's table; `what` begins messages, `remedy` ends them.

    Raises:
        DatasetError: the file can't be read, or is no parquet or damaged.
    """
    import pyarrow.parquet as pq

    whole = file.absolute()  # pyarrow takes a relative path with a colon for a URI
    try:
        claims.check(f"{what}{file}", pq.read_metadata(whole).num_rows * _A_VALUE, file.stat().st_size)
        table = pq.read_table(whole)
        # text that is no UTF-8 would be met where a value is asked for
        table.validate(full=True)
        return table
    except claims.ClaimError as error:
        raise DatasetError(f"{error}: {remedy}") from None
    # pyarrow's, of any kind
    except Exception as error:
        if of_machine(error):
            raise
        raise DatasetError(f"{what}{file} can't be read: {str(error).splitlines()[0]}: {remedy}") from None
