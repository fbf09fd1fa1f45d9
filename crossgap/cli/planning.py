"""`crossgap plan`: what `dvc repro` would run."""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossgap.cli import scripts, tables
from crossgap.cli.errors import explained
from crossgap.cli.scripts import Json
from crossgap.stores.temporary import readable

if TYPE_CHECKING:
    from crossgap.params import Params
    from crossgap.planning.cells import StageCell
    from crossgap.planning.estimate import Cost
    from crossgap.planning.items import ItemCounts
    from crossgap.planning.operations import PlannedEvaluation
    from crossgap.planning.probe import Speeds
    from crossgap.planning.rates import Rates

PREPARED, IMPORTS = Path("data/datasets"), Path("data/imports")
_NAMED = 3


def plan(
    params: Annotated[Path, typer.Option(help="The file to plan by.")] = Path("params.yaml"),
    probe: Annotated[bool, typer.Option(help="Measure speeds here, some 20 s a backbone.")] = True,
    as_json: Json = False,
) -> None:
    """Say what `dvc repro` would run: cells, items, disk space, and how long it takes on this machine.

    With --json, what is said on the way goes to stderr.

    Example: crossgap plan --no-probe --json | jq '.stages[] | select(.to_run > 0).stage'
    """
    from crossgap.params import load
    from crossgap.planning import evaluated
    from crossgap.planning.cells import cells
    from crossgap.planning.estimate import cost
    from crossgap.planning.items import of_datasets

    with explained(), redirect_stdout(sys.stderr) if as_json else nullcontext():
        asked = load(params)
        every = cells(asked)
        todo = _todo(every, asked, params)
        items, reasons = of_datasets(asked, PREPARED)
        _show_cells(every, todo)
        _show_items(items, reasons)
        _show_unmeasured(todo, asked)
        sizes = _sizes(todo, asked)
        speeds = _speeds(todo, asked) if probe else None
        by_stage = defaultdict(list)
        for cell in todo:
            by_stage[cell.stage].append(cell)
        costs = {stage: cost(some, asked, items, sizes, speeds) for stage, some in by_stage.items()}
        evaluations = {
            stage: [_evaluation(cell, asked, items, sizes) for cell in by_stage[stage]]
            for stage in evaluated.STAGES
            if stage in by_stage
        }
        rates = _rates(evaluations) if probe else None
        costs |= {stage: evaluated.cost(some, rates) for stage, some in evaluations.items()}
        _show_costs(costs)
    if as_json:
        scripts.echo(_as_json(every, todo, items, costs))


def _as_json(
    every: list[StageCell], todo: list[StageCell], items: dict[str, ItemCounts | None], costs: dict[str, Cost]
) -> dict[str, Any]:
    """Cells, items, bytes and seconds by stage, and items by dataset; null is what is not known or not estimated."""
    from crossgap.planning.estimate import ESTIMATED

    stages = []
    for stage in dict.fromkeys(cell.stage for cell in every):
        names = [cell.name for cell in todo if cell.stage == stage]
        held = costs.get(stage)
        stages.append(
            {
                "stage": stage,
                "cells": sum(cell.stage == stage for cell in every),
                "to_run": len(names),
                "names": names,
                "items": held.items if held and stage in ESTIMATED else None,
                "bytes": held.bytes if held and stage in ESTIMATED else None,
                "seconds": held.seconds if held else None,
                "unknown_cells": held.unknown if held else 0,
            }
        )
    counted = [
        {
            "dataset": name,
            "images": of.total("image") if of else None,
            "texts": of.total("text") if of else None,
            "known_by": of.known_by if of else None,
        }
        for name, of in items.items()
    ]
    return {"stages": stages, "datasets": counted, "free_bytes": shutil.disk_usage(".").free}


def _todo(every: list[StageCell], asked: Params, params: Path) -> list[StageCell]:
    """The cells that are out of date by DVC; all cells, if the file planned by is not the one that DVC reads."""
    from crossgap.planning import resolve, unwatched
    from crossgap.planning.pipeline import outdated

    if params.resolve() != Path("params.yaml").resolve() or not Path("dvc.yaml").is_file():
        typer.echo(f"{params} is not what DVC reads here: every cell is planned as if nothing were there\n")
        return every
    stale = outdated(Path(), resolve.changed(asked, resolve.resolved(asked, {}), Path("data/resolved")))
    if others := unwatched.said(asked, Path("data")):
        typer.echo(f"{others}\n")
    return [cell for cell in every if cell.name in stale]


def _show_cells(every: list[StageCell], todo: list[StageCell]) -> None:
    typer.echo("At most these run; where what changed makes no difference, DVC stops there:")
    rows = []
    for stage in dict.fromkeys(cell.stage for cell in every):
        names = [cell.item or "1" for cell in todo if cell.stage == stage]
        total = sum(cell.stage == stage for cell in every)
        shown = ", ".join(names[:_NAMED]) + (f", … ({len(names)})" if len(names) > _NAMED else "")
        rows.append((stage, str(total), str(total - len(names)), shown or "-"))
    tables.show(("stage", "cells", "up to date", "to run"), rows)


def _show_items(items: dict[str, ItemCounts | None], reasons: dict[str, str]) -> None:
    rows = []
    for name, held in items.items():
        if held is None:
            rows.append((name, "?", "?", "nothing, as said below"))
        else:
            rows.append((name, f"{held.total('image'):,}", f"{held.total('text'):,}", f"its {held.known_by}"))
    typer.echo()
    tables.show(("dataset", "images", "texts", "known by"), rows)
    for name, why in reasons.items():
        typer.echo(
            f"{name}: not counted: {why}\n  To know: `dvc repro stages/prepare/dvc.yaml:prepare@{name}`, or declare "
            f"datasets.{name}.sizes"
        )


def _evaluation(
    cell: StageCell, params: Params, items: dict[str, ItemCounts | None], sizes: dict
) -> tuple[PlannedEvaluation, int] | None:
    """What a cell evaluates, and the width of its features; None if the items or the width are not known."""
    from crossgap.planning import evaluated
    from crossgap.planning.estimate import built_as
    from crossgap.stores.store import open_store

    if cell.stage == "evaluate-import":
        (name,) = cell.words
        path = IMPORTS / name / "native.zarr.zip"
        if not path.is_file():
            return None
        store = open_store(path)
        widths = [store[group].features.shape[1] for group in store.groups]
        return (evaluated.of_import(store, params.imports[name], params, name), widths[0]) if widths else None
    held, size = items[cell.dataset], sizes[built_as(params, cell.backbone).model]
    if held is None or size is None:
        return None
    return evaluated.of_cell(cell, params, held, bool(size.widths)), size.dim


def _rates(evaluations: dict[str, list]) -> dict[int, Rates] | None:
    """By width; None where they can't be measured."""
    from crossgap.planning import rates
    from crossgap.planning.probe import ProbeError

    widths = {held[1] for some in evaluations.values() for held in some if held is not None}
    if not widths:
        return {}
    try:
        found = rates.probe(sorted(widths))
    except ProbeError as error:
        typer.echo(f"evaluation: not measured: {error}")
        return None
    for width, at in found.items():
        typer.echo(
            f"evaluation, width {width}: start {at.start:.1f} s; a query and item {at.pair * 1e9:.0f} ns, a query and "
            f"resample {at.resample * 1e9:.0f} ns, an item and cluster {at.cluster * 1e6:.1f} µs"
        )
    return found


def _show_unmeasured(todo: list[StageCell], params: Params) -> None:
    """Warn of prepared datasets whose inverted images could not be measured."""
    from crossgap.planning import unmeasured
    from crossgap.prepared import judgements, manifest

    for dataset in dict.fromkeys(cell.dataset for cell in todo if cell.method == "oti"):
        folder = PREPARED / dataset
        if not (folder / manifest.FILE).is_file():
            continue
        frame = manifest.read(folder)
        of_query = (frame["modality"] == "image") & (
            frame["split"] == params.datasets[dataset].retrieval.query
        )
        images = frame[of_query]
        labels = (images[column].dropna() for column in images if column.startswith(manifest.LABEL))
        if why := unmeasured.why(dataset, images["id"], labels, judgements.read(folder)):
            typer.echo(f"\noti: {why}")


def _sizes(todo: list[StageCell], params: Params) -> dict:
    from crossgap.catalogue.backbones import sizes
    from crossgap.errors import BackboneError
    from crossgap.planning.estimate import ESTIMATED, built_as

    needed = (*ESTIMATED, "evaluate")
    models = {built_as(params, cell.backbone).model for cell in todo if cell.stage in needed}
    found = {}
    for model in sorted(models):
        try:
            found[model] = sizes(model)
        except BackboneError as error:
            typer.echo(f"\n{error}")
            found[model] = None
    return found


def _speeds(todo: list[StageCell], params: Params) -> dict[tuple[str, str], Speeds]:
    from crossgap.planning.estimate import asked
    from crossgap.planning.probe import ProbeError, probe

    found: dict[tuple[str, str], Speeds] = {}
    for wanted in asked(todo, params, _sample(params)):
        if not found:
            typer.echo("\nMeasured just now, with this machine as busy as it is:")
        try:
            found[wanted.model, wanted.precision] = speeds = probe(wanted)
        except ProbeError as error:
            typer.echo(f"{wanted.model}: not measured: {error}")
        else:
            typer.echo(f"{wanted.model}: {_said(speeds)}")
    return found


def _sample(params: Params) -> tuple[str, str] | None:
    """The manifest's folder and the images' root of a prepared dataset that has images; None if there is none."""
    from crossgap.prepared import manifest

    for name in params.run.datasets:
        folder = PREPARED / name
        if (folder / manifest.FILE).is_file() and len(manifest.select(manifest.read(folder), "image")):
            return str(folder), str(params.datasets[name].images_root(folder))
    return None


def _said(speeds: Speeds) -> str:
    said = [f"start {speeds.start:.1f} s"]
    said += [] if speeds.image is None else [f"image {speeds.image * 1e3:.2f} ms"]
    said += [] if speeds.text is None else [f"text {speeds.text * 1e3:.2f} ms"]
    said += [f"OTI, R = {number}: {took * 1e3:.3f} ms a step" for number, took in speeds.tokens.items()]
    said += [f"OVI, P = {number}: {took * 1e3:.3f} ms a step" for number, took in speeds.patches.items()]
    of = ", ".join(f"{what} {number}" for what, number in speeds.measured.items())
    return f"{'; '.join(said)} (items together: {of})"


def _show_costs(costs: dict[str, Cost]) -> None:
    from crossgap.planning import evaluated
    from crossgap.planning.estimate import ESTIMATED

    rows = []
    for stage, held in costs.items():
        if stage in (*ESTIMATED, *evaluated.STAGES):
            beside = [f"without {held.unknown} cells that are not known"] if held.unknown else []
            beside += ["at most: parts in data/scratch are taken back"] if stage in evaluated.STAGES else []
            stores = ("-", "-") if stage in evaluated.STAGES else (f"{held.items:,}", readable(held.bytes))
            rows.append((stage, *stores, _time(held.seconds), "; ".join(beside)))
    typer.echo()
    if rows:
        known = [held.seconds for held in costs.values() if held.seconds is not None]
        room = sum(held.bytes for held in costs.values())
        rows.append(("together", "", readable(room), _time(sum(known) if known else None), ""))
        tables.show(("stage", "items", "stores", "time", ""), rows)
    typer.echo(
        f"Free here: {readable(shutil.disk_usage('.').free)}; shards in progress need as much as a store again."
    )
    others = [stage for stage in costs if stage not in (*ESTIMATED, *evaluated.STAGES)]
    if others:
        typer.echo(f"Not estimated: {', '.join(others)}.")


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
