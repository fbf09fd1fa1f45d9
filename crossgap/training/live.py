"""Curves as DVCLive writes them: `dvc plots` and `dvc metrics` read them, and so does DVC's extension for editors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def live(folder: Path) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """A function that logs a row of the curves: to `plots/metrics/<name>.tsv`, and the last row to `metrics.json`.

    A row holds `step` and values by name. Equal rows give equal files. Earlier files in `folder` are removed.
    """
    from dvclive import Live

    with Live(
        str(folder),
        dvcyaml=None,
        report=None,
        save_dvc_exp=False,
        monitor_system=False,
        cache_images=False,
    ) as curves:

        def log(row: Mapping[str, float]) -> None:
            curves.step = int(row["step"])
            for name, value in row.items():
                if name != "step":
                    curves.log_metric(name, value)
            curves.next_step()

        yield log
