"""Curves as DVCLive writes them: `dvc plots` and `dvc metrics` read them, and so does DVC's extension for editors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

DIGITS = 5  # significant ones, of what `dvc metrics` shows


@contextmanager
def live(folder: Path) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """A function that logs a row of the curves: to `plots/metrics/<name>.tsv`, and the last row to `metrics.json`.

    A row holds `step` and values by name. The last row stands under `training`, so that columns of `dvc metrics show`
    and `dvc exp show` say what they are of. Equal rows give equal files. Earlier files in `folder` are removed.
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
    summary = folder / "metrics.json"
    if summary.is_file():
        last = json.loads(summary.read_text(encoding="utf-8"))
        written = json.dumps({"training": {name: rounded(value) for name, value in last.items()}}, indent=1)
        summary.write_text(f"{written}\n", encoding="utf-8")


def rounded(value: float) -> float:
    """A number to `DIGITS` significant digits; a whole one as it is."""
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")
