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
    ended_by = []

    def end(number: int, _frame: object) -> None:
        ended_by.append(number)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        params: Params = load()
        stage(params, *sys.argv[1:])
    except Exception as error:
        if ended_by:  # the exit met a lock or a file half closed, which answers with an error of its own
            sys.exit(128 + ended_by[0])
        if isinstance(error, (ValueError, OSError)):
            sys.exit(f"{Path(sys.argv[0]).stem}: {error}")
        raise
