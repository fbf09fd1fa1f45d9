"""The spread over seeds, by hand."""

from __future__ import annotations

import pandas as pd

from crossgap.report.results import Results
from crossgap.report.seeds import COLUMNS, Spread, spreads


def test_the_spread_is_that_of_a_sample_of_seeds() -> None:
    rows = [("oti-image", "class", seed, value) for seed, value in enumerate((0.1, 0.2, 0.6))]
    rows += [("oti-image", "shape", 0, 0.5), ("oti-image", "shape", 1, None)]
    cell = Results("nano", "world", {}, seeds=pd.DataFrame(rows, columns=list(COLUMNS)))
    # √((0.2² + 0.1² + 0.3²) / 2)
    assert spreads(cell) == [Spread("OTI-image", "class", "30.00", "26.46", "10.00", "60.00", 3)]
