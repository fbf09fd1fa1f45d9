"""What every stage script shares: its arguments, the validated params, where things lie."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

from crossgap.params import Params, load

DATA = Path("data")
SCRATCH = DATA / "scratch"
# of a cell, by their names in `Evaluation` and in `report.Cell`: what evaluate writes, report reads
CELL_TABLES = (
    "comparisons", "corrections", "similarities", "histograms", "seeds", "shifts", "spectrum", "arithmetic",
)  # fmt: skip


def dataset_folder(dataset: str) -> Path:
    return DATA / "datasets" / dataset


def features_folder(backbone: str, dataset: str) -> Path:
    return DATA / "features" / backbone / dataset


def metrics_folder(backbone: str, dataset: str) -> Path:
    return DATA / "metrics" / backbone / dataset


def run(stage: Callable[..., None]) -> None:
    """Call `stage(params, *arguments)`; an error in what the user gave is a message, not a traceback.

    SIGTERM, by which schedulers end a job, becomes an exit that removes what was half written.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        params: Params = load()
        stage(params, *sys.argv[1:])
    except (ValueError, OSError) as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {error}")
