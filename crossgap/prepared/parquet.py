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
        CrossgapError: it is damaged; the message ends in the remedy.
    """
    import pyarrow.parquet as pq

    try:
        # pyarrow takes a relative path with a colon for a URI
        return pq.read_table(path.absolute(), filters=filters).to_pandas()
    # pyarrow's, of any kind
    except Exception as error:
        if of_machine(error):
            raise
        said = str(error).partition("\n")[0]
        raise CrossgapError(f"{path} is damaged ({said}): {remedy}") from None
