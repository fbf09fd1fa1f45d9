"""Tables of parquet that a stage wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crossgap.errors import CrossgapError, of_machine

if TYPE_CHECKING:
    import pandas as pd

REPAIR = "`crossgap verify --repair` takes it away, then `dvc repro`"


def read(path: Path, remedy: str = REPAIR, filters: list[tuple[str, str, int]] | None = None) -> pd.DataFrame:
    """The table; with `filters` of pyarrow's, those of its rows.

    Raises:
        CrossgapError: it is damaged or missing; the message ends in the remedy.
    """
    import pyarrow.parquet as pq

    try:
        # pyarrow takes a relative path with a colon for a URI
        table = pq.read_table(path.absolute(), filters=filters)
        # text that is no UTF-8 would be met where a value is asked for
        table.validate(full=True)
        return table.to_pandas()
    # pyarrow's, of any kind
    except Exception as error:
        if of_machine(error):
            raise
        said = "it is missing" if isinstance(error, FileNotFoundError) else str(error).partition("\n")[0]
        raise CrossgapError(f"{path} is damaged ({said}): {remedy}") from None
