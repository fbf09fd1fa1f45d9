"""Tables of corrections."""

from __future__ import annotations

import pandas as pd

COLUMNS = ["name", "title", "source", "how", "parameters", "reason"]


def corrections(**titles: str) -> pd.DataFrame:
    """Corrections that are there, by name."""
    return pd.DataFrame(
        [(name, title, "arXiv", "h", "", "") for name, title in titles.items()], columns=COLUMNS
    )
