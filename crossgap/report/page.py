"""The report's page: what the template shows of each cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from crossgap.errors import CrossgapError, listed
from crossgap.report import gap, hubness, methods, pictures, tables
from crossgap.report.arithmetic import HEADS, arithmetic, published_scores
from crossgap.report.boards import Section, sections
from crossgap.report.idealised import Experiment
from crossgap.report.idealised import view as experiment_view
from crossgap.report.published import beside
from crossgap.report.results import Results
from crossgap.report.seeds import spreads
from crossgap.report.shifts import dimensions
from crossgap.report.similarities import similarities
from crossgap.report.sources import cited, corrections
from crossgap.report.tables import MISSING, plain_words, under, words
from crossgap.report.trainings import Training
from crossgap.report.trainings import view as trainings_view

if TYPE_CHECKING:
    from jinja2 import Environment
    from pandas import DataFrame

METRIC_NAMES = {
    "ami": "adjusted mutual information",
    "v_measure": "V-measure",
    "ari": "adjusted Rand index",
    "nmi": "normalised mutual information",
}


def render(
    cells: Sequence[Results],
    published: DataFrame | None = None,
    experiments: Sequence[Experiment] = (),
    trainings: Sequence[Training] = (),
) -> str:
    """The report on `cells`, in their order: one HTML file that loads nothing from elsewhere.

    Equal cells give equal text. What a cell lacks is left out or shown as "–"; a metric the page has no table for is
    listed under "Other numbers" and never dropped.

    Args:
        published: figures to stand beside the measured ones: `published.COLUMNS`.
        experiments: idealised ones, which are of no cell.
        trainings: of the backbones that were fine-tuned.

    Raises CrossgapError if there are no cells, two are of the same backbone and dataset, a table lacks a column or
    names a family of comparisons that there isn't, or a point of a cloud has no finite coordinates.
    """
    if not cells:
        raise CrossgapError("cells: nothing to report; evaluate at least one backbone on one dataset")
    seen: set[tuple[str, str]] = set()
    for cell in cells:
        if (cell.backbone, cell.dataset) in seen:
            raise CrossgapError(f"cells: {cell.name} is there twice; give each backbone and dataset once")
        seen.add((cell.backbone, cell.dataset))
    views = []
    for cell, anchor in zip(cells, _anchors(cell.name for cell in cells), strict=True):
        try:
            views.append(_view(cell, anchor, published))
        except CrossgapError as error:
            raise CrossgapError(f"cell {cell.name}: {error}") from None
    idealised = []
    for experiment in experiments:
        try:
            idealised.append(experiment_view(experiment))
        except CrossgapError as error:
            raise CrossgapError(f"idealised experiment {experiment.name}: {error}") from None
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            cells=views,
            experiments=idealised,
            trainings=trainings_view(trainings, cells, published),
            gap_names={key: name for cell in cells for key, name in gap.summarised(cell).items()},
            summaries=_summaries(views) if len(views) > 1 else [],
            anywhere={name for view in views for name, value in view.items() if value}
            | {section.name for view in views for section in view["sections"]},
            tested=any(section.board.verdicts for view in views for section in view["sections"]),
        )
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    found = FunctionLoader(lambda name: files("crossgap.report").joinpath(name).read_text("utf-8"))
    environment = Environment(
        loader=found, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"missing": MISSING, "metric_names": METRIC_NAMES, "arithmetic_heads": HEADS}
    environment.globals |= {"gap_heads": gap.HEADS, "hub_heads": hubness.HEADS}
    environment.filters |= {"cited": cited, "plain": plain_words}
    return environment


def _view(cell: Results, anchor: str, published: DataFrame | None) -> dict[str, Any]:
    """All that the template shows of one cell."""
    metrics = cell.metrics
    boards, studies = sections(cell), pictures.studies(cell)
    similar, spread = similarities(cell), spreads(cell)
    losses = {key: metrics[key] for key in sorted(metrics) if re.fullmatch("inversion/.+/loss", key)}
    aside = {key: metrics[key] for key in sorted(metrics) if re.fullmatch("inversion/.+/set_aside", key)}
    shown = {key for section in boards if section.board for key in section.board.keys} | similar.keys
    shown |= losses.keys() | aside.keys() | {key for key in metrics if key.startswith(("gap/", "items/"))}
    shown |= hubness.keys(cell)
    if studies:
        shown |= {key for key in metrics if re.fullmatch("snapshots/.+/best_(step|mAP)", key)}
    if spread:
        shown |= {key for key in metrics if re.fullmatch("seeds/.+/mAP_(mean|std)", key)}
    asked = arithmetic(cell)
    shown |= asked.keys if asked else set()
    fitted, not_fitted = corrections(cell)
    return {
        "anchor": anchor,
        "backbone": cell.backbone,
        "dataset": cell.dataset,
        "name": cell.name,
        "sections": boards,
        "corrections": fitted,
        "not_fitted": not_fitted,
        "unavailable": _unavailable(cell),
        "published": [] if published is None else beside(cell, published),
        "similarities": similar if similar.rows else None,
        "similarity_figures": list(map(pictures.similarities, similar.studies)),
        "drift": any(study.drift for study in similar.studies),
        "spread": spread,
        "gap": gap.measures(cell) if under(metrics, "gap/") else [],
        "gap_values": {key: value for key, _, value, _ in gap.measures(cell)},
        "gap_corrected": gap.corrected(cell),
        "hubs": hubness.rows(cell),
        "shift": pictures.shift(cell),
        "dimensions": dimensions(cell),
        "spectrum": pictures.spectrum(cell),
        "arithmetic": pictures.arithmetic(asked),
        "published_arithmetic": [] if published is None else published_scores(cell, published),
        "losses": [(_inversion(key), tables.decimal(losses[key], 4)) for key in losses],
        "counts": [
            (plain_words(key), tables.count(value)) for key, value in under(metrics, "items/").items()
        ],
        "cut": _cut(metrics),
        "summaries": cell.provenance.get("summaries"),
        "truncation_counted": any(key.startswith("items/") and "truncated" in key for key in metrics),
        "aside": [(_inversion(key), tables.count(aside[key])) for key in aside],
        "studies": studies,
        "others": [(key, tables.other(key, metrics[key])) for key in sorted(metrics.keys() - shown)],
        "problems": _listed(cell, "problems", ("id", "item", "problem")),
        "not_inverted": _listed(cell, "not_inverted", ("id", "group", "inversion")),
        "provenance": [(plain_words(key), words(value)) for key, value in cell.provenance.items()],
        **pictures.clouds(cell),
    }


def _summaries(views: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tables over all cells: every method by every relevance."""
    summaries = []
    for name in ("image", "text", "prompts"):
        found = [_named(view["sections"], name) for view in views]
        first = next(filter(None, found), None)
        if first:
            heads, rows = methods.across([section and section.board for section in found])
            summaries.append(
                {"section": first, "methods": heads, "cells": list(zip(views, rows, strict=True))}
            )
    return summaries


def _named(found: Iterable[Section], name: str) -> Section | None:
    return next((section for section in found if section.name == name), None)


def _cut(metrics: Mapping[str, float]) -> list[str]:
    """How many texts of each split the text tower's context was too short for."""
    counts = under(metrics, "items/text/")
    cut = {name: n for name in counts if (n := counts.get(f"{name}/truncated"))}
    return [f"{tables.count(n)} of {tables.count(counts[name])} of {name}" for name, n in cut.items()]


def _unavailable(cell: Results) -> list[tuple[str, str, str]]:
    """Family, names and reason of what could not be measured, a row a reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in cell.rows("unavailable", ("family", "name", "reason")):
        found.setdefault((row["family"], row["reason"]), []).append(row["name"])
    return [(family, listed(names), reason) for (family, reason), names in found.items()]


def _listed(cell: Results, name: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The columns of one of the cell's lists of items, as words."""
    return [tuple(map(words, row.values())) for row in cell.rows(name, columns)]


def _anchors(names: Iterable[str]) -> list[str]:
    """A fragment identifier for each name, no two alike."""
    anchors: list[str] = []
    for name in names:
        stem = anchor = "cell-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        number = 2
        while anchor in anchors:
            anchor, number = f"{stem}-{number}", number + 1
        anchors.append(anchor)
    return anchors


def _inversion(key: str) -> str:
    return " ".join(map(tables.title, key.split("/")[1:-1]))
