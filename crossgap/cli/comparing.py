"""`crossgap compare`: two cells of a project, on the same queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossgap import numbers
from crossgap.cli import scripts, tables
from crossgap.cli.errors import explained
from crossgap.cli.scripts import Json
from crossgap.errors import CrossgapError, like

if TYPE_CHECKING:
    import pandas as pd

METRICS = Path("data/metrics")
_TABLES = ("queries", "predictions")
Name = Annotated[str, typer.Argument(help="BACKBONE/DATASET, or imports/NAME.")]


def compare(
    one: Name,
    other: Name,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare this task alone, as image-image+centering or classification/image-text; may be given again. "
            "Without it, all retrieval and zero-shot classification without corrections."
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="Of retrieval, mAP if not given; of classification it is the accuracy."),
    ] = None,
    resamples: Annotated[int, typer.Option(min=99, help="Of the bootstrap and of the test.")] = 9999,
    as_json: Json = False,
) -> None:
    """Say what one backbone reaches and another doesn't, on the same queries of a dataset, with its significance.

    A difference is positive where the first is better. Measures of the gap of both follow, where no task is named.

    Example: crossgap compare nano-cua/world nano/world --task image-image --metric recall@1
    """
    from crossgap.evaluation.between import compare as compared
    from crossgap.evaluation.comparisons import METRIC, too_few
    from crossgap.report.tables import count, interval, percent, points, probability

    with explained():
        if one.strip("/") == other.strip("/"):
            raise CrossgapError(f"{one} is compared with itself: name two cells")
        first, second = map(_measured, (one, other))
        found = compared(first, second, tasks=task, metric=metric or METRIC["retrieval"], resamples=resamples)
        if metric is not None and metric not in set(found["metric"]):
            raise CrossgapError(
                f"--metric {metric} is of retrieval, and {', '.join(task or ())} is classification: leave it out"
            )
    if as_json:
        scripts.echo(found.to_dict("records"))
        return
    rows = [
        (
            row["task"],
            row["relevance"],
            row["metric"],
            percent(row["value"]),
            percent(row["other_value"]),
            f"{points(row['difference'])} {interval(row['low'], row['high'])}",
            probability(row["p"]),
            probability(row["p_adjusted"]),
            count(row["queries"]),
        )
        for row in found.to_dict("records")
    ]
    tables.show(("task", "by", "metric", one, other, "difference", "p", "p by Holm", "queries"), rows)
    typer.echo("in percent and percentage points; 95 % intervals of the bootstrap over queries")
    for family, some in found.groupby("family"):
        if why := too_few(len(some), resamples):
            typer.echo(f"{family}: {len(some)} comparisons: {why}")
    if not task:
        _show_gap({one: first.metrics, other: second.metrics})


def _show_gap(metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Measures of the gap that both cells have, and how much larger those of the first are."""
    from crossgap.report.gap import GAP
    from crossgap.report.tables import decimal, present, signed

    rows = []
    for measure, (title, _) in GAP.items():
        first, second = (held.get(f"gap/{measure}") for held in metrics.values())
        if present(first) and present(second):
            rows.append((title, decimal(first), decimal(second), signed(first - second, 3)))
    if rows:
        typer.echo()
        tables.show(("gap, native features", *metrics, "difference"), rows)
        typer.echo("each is one number of a cell, which has no test")


@dataclass(frozen=True)
class _Cell:
    queries: pd.DataFrame
    predictions: pd.DataFrame
    set_aside: pd.DataFrame
    measured_on: dict[str, str]
    metrics: dict[str, float]


def _measured(name: str) -> _Cell:
    import pandas as pd

    from crossgap.prepared import parquet

    folder = METRICS / name / "tables"
    if not all((folder / f"{table}.parquet").is_file() for table in _TABLES):
        there = sorted(
            path.parents[1].relative_to(METRICS).as_posix()
            for path in METRICS.glob(f"*/*/tables/{_TABLES[0]}.parquet")
            if all((path.parent / f"{table}.parquet").is_file() for table in _TABLES)
        )
        if not there:
            raise CrossgapError("nothing is measured here: go to a project's root, and let `dvc repro` run")
        raise CrossgapError(
            f"no cell {name!r} is measured here{like(name, there)}; there are {', '.join(there)}"
        )
    said = numbers.read_provenance(folder)
    queries, predictions = (parquet.read(folder / f"{table}.parquet", numbers.AGAIN) for table in _TABLES)
    if "group" not in queries:
        raise CrossgapError(f"{name} was evaluated by an older crossgap: {numbers.AGAIN}")
    set_aside = pd.DataFrame(said["not_inverted"], columns=["inversion", "group", "id"])
    held = folder / "metrics.csv"
    metrics = numbers.read(held) if held.is_file() else {}
    return _Cell(queries, predictions, set_aside, said["measured_on"], metrics)
