"""Parquet files that a declaration names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crossgap import claims
from crossgap.datasets.declared import DatasetError
from crossgap.prepared import parquet

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(file: Path, what: str, remedy: str) -> pa.Table:
    """The file's table; `what` begins messages, `remedy` ends them.

    Raises:
        DatasetError: the file can't be read, or is no parquet or damaged.
    """
    try:
        with parquet.refused(lambda why: DatasetError(f"{what}{file} can't be read: {why}: {remedy}")):
            claims.check_table(f"{what}{file}", file)
            return parquet.table(file)
    except claims.ClaimError as error:
        raise DatasetError(f"{error}: {remedy}") from None
