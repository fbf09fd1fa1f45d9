"""What an evaluation can't have, and why: a row, and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from crossgap.errors import UnavailableError

COLUMNS = ["family", "name", "reason"]
# Raised where the code notices what the items don't allow, or by a decomposition that doesn't converge on them. All
# other errors are mistakes, in the code or in what it was given, and must come out with their traceback.
EXPECTED = (UnavailableError, np.linalg.LinAlgError)


class Reasons:
    """Rows of `COLUMNS`, each once, in the order in which they were met."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], None] = {}

    @contextmanager
    def of(self, family: str, name: str) -> Iterator[None]:
        """Leave the block at an `EXPECTED` error, which becomes a row."""
        try:
            yield
        except EXPECTED as error:
            self.add([(family, name, " ".join(str(error).split()))])

    def add(self, rows: Iterable[tuple[str, str, str]]) -> None:
        self.rows |= dict.fromkeys((family, name, why) for family, name, why in rows)

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(list(self.rows), columns=COLUMNS)
