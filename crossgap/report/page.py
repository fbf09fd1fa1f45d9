"""The report's page: what a cell is, and what the template shows of it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from crossgap.report import figures, steps, tables
from crossgap.report.tables import MISSING, compared, detailed, title, under, words

if TYPE_CHECKING:
    from jinja2 import Template
    from pandas import DataFrame

# The first task is the baseline of the others; the last retrieval task has other queries than it.
IMAGE_QUERIES = ("image-image", "oti-image", "oti-oti", "text-image")
TEXT_QUERIES = ("text-text", "ovi-text", "ovi-ovi", "image-text")
CLASSIFICATION = ("image-text", "oti-text", "image-ovi")

GAP = {
    "centroid_distance": ("centroid distance", "0: the means coincide; at most 2"),
    "linear_separability": (
        "linear separability",
        "1: told apart without error; 0.5: chance, if equally many",
    ),
    "uniformity_image": ("uniformity, images", "0: all at one point; the lower, the more spread out"),
    "uniformity_text": ("uniformity, texts", "0: all at one point; the lower, the more spread out"),
    "alignment": ("alignment", "mean squared distance of matching pairs; 0: they coincide"),
}


@dataclass(frozen=True, eq=False)
class Cell:
    """One backbone on one dataset, evaluated.

    `metrics` holds the flat keys of metrics.json (`retrieval/<task>/<relevance>/<metric>`, …), rates as
    fractions. `clouds` has the columns x, y, modality, id; `problems`, the items set aside, has id, item,
    problem; `not_inverted`, the items whose inversion has no finite loss, has inversion, group, id; `curves`, a
    row a point over an inversion's steps, has task, tokens, relevance, step, loss, mAP, baseline. Each may be
    None or empty. `provenance` says what made the features; its values may be mappings or lists.
    """

    backbone: str
    dataset: str
    metrics: Mapping[str, float | int]
    clouds: DataFrame | None = None
    problems: DataFrame | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    not_inverted: DataFrame | None = None
    curves: DataFrame | None = None

    @property
    def name(self) -> str:
        return f"{self.backbone} · {self.dataset}"


def render(cells: Sequence[Cell]) -> str:
    """The report on `cells`, in their order: one HTML file that loads nothing from elsewhere.

    Equal cells give equal text. What a cell lacks is shown as "–"; a metric the page has no table for is
    listed under "Other numbers" and never dropped.

    Raises ValueError if there are no cells, two are of the same backbone and dataset, a table lacks a column,
    or a point of a cloud has no finite coordinates.
    """
    if not cells:
        raise ValueError("cells: nothing to report; evaluate at least one backbone on one dataset")
    seen: set[tuple[str, str]] = set()
    for cell in cells:
        if (cell.backbone, cell.dataset) in seen:
            raise ValueError(f"cells: {cell.name} is there twice; give each backbone and dataset once")
        seen.add((cell.backbone, cell.dataset))
    anchors = _anchors(cell.name for cell in cells)
    return _template().render(
        cells=[_view(cell, anchor) for cell, anchor in zip(cells, anchors, strict=True)],
        gap_names={key: name for cell in cells for key, name, _, _ in _gap(cell)},
        image_queries=list(map(title, IMAGE_QUERIES)),
        text_queries=list(map(title, TEXT_QUERIES)),
        classification=list(map(title, CLASSIFICATION)),
        missing=MISSING,
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    source = files("crossgap.report").joinpath("page.html.j2").read_text("utf-8")
    options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    return Environment(autoescape=True, **options).from_string(source)


def _view(cell: Cell, anchor: str) -> dict[str, Any]:
    """All that the template shows of one cell."""
    metrics = cell.metrics
    retrieval = tables.group(metrics, "retrieval", IMAGE_QUERIES + TEXT_QUERIES)
    accuracy = tables.group(metrics, "classification", CLASSIFICATION)
    shown = {"/".join(("retrieval", *key)) for key in retrieval}
    shown |= {"/".join(("classification", *key)) for key in accuracy if key[2] == "accuracy"}
    losses = {key: metrics[key] for key in sorted(metrics) if re.fullmatch("inversion/.+/loss", key)}
    aside = {key: metrics[key] for key in sorted(metrics) if re.fullmatch("inversion/.+/set_aside", key)}
    shown |= losses.keys() | aside.keys() | {key for key in metrics if key.startswith(("gap/", "items/"))}
    studies = _studies(cell)
    if studies:
        shown |= {key for key in metrics if re.fullmatch("snapshots/.+/best_(step|mAP)", key)}
    return {
        "anchor": anchor,
        "backbone": cell.backbone,
        "dataset": cell.dataset,
        "name": cell.name,
        "gap": _gap(cell),
        "gap_values": {key: value for key, _, value, _ in _gap(cell)},
        "image_rows": compared(retrieval, IMAGE_QUERIES, "mAP", unpaired="text-image"),
        "image_details": detailed(retrieval, IMAGE_QUERIES),
        "text_rows": compared(retrieval, TEXT_QUERIES, "mAP", unpaired="image-text"),
        "text_details": detailed(retrieval, TEXT_QUERIES),
        "class_rows": compared(accuracy, CLASSIFICATION, "accuracy"),
        "losses": [(_inversion(key), tables.decimal(losses[key], 4)) for key in losses],
        "counts": [(_plain(key), tables.count(value)) for key, value in under(metrics, "items/").items()],
        "truncation_counted": any(key.startswith("items/") and "truncated" in key for key in metrics),
        "aside": [(_inversion(key), tables.count(aside[key])) for key in aside],
        "studies": studies,
        "others": [(key, tables.other(key, metrics[key])) for key in sorted(metrics.keys() - shown)],
        "problems": _listed(cell, "problems", ("id", "item", "problem")),
        "not_inverted": _listed(cell, "not_inverted", ("id", "group", "inversion")),
        "provenance": [(_plain(key), words(value)) for key, value in cell.provenance.items()],
        **_figure(cell),
    }


def _gap(cell: Cell) -> list[tuple[str, str, str, str]]:
    """Key, name, value and reading of the usual gap measures, then of any others of this cell."""
    values = under(cell.metrics, "gap/")
    names = GAP | {key: (_plain(key), "") for key in values if key not in GAP}
    return [(key, name, tables.decimal(values.get(key)), reading) for key, (name, reading) in names.items()]


def _figure(cell: Cell) -> dict[str, str]:
    """The scatter as a data URI, and its description; both empty where the cell has no points."""
    if cell.clouds is None or cell.clouds.empty:
        return {"figure": "", "figure_text": ""}
    try:
        svg = figures.clouds(cell.clouds)
    except ValueError as error:
        raise ValueError(f"cell {cell.name}: {error}") from None
    counts = cell.clouds["modality"].value_counts().sort_index()
    points = " and ".join(f"{number} {modality} features" for modality, number in counts.items())
    return {
        "figure": _data_uri(svg),
        "figure_text": f"Scatter of {points} on the first two principal components of all of them",
    }


def _studies(cell: Cell) -> list[dict[str, Any]]:
    """Figure, description and numbers of each task over the steps of its inversions."""
    if cell.curves is None or cell.curves.empty:
        return []
    try:
        found = steps.studies(cell.curves)
    except ValueError as error:
        raise ValueError(f"cell {cell.name}: {error}") from None
    return [
        {
            **study._asdict(),
            "figure": _data_uri(figures.curves(study.points, study.length, study.baseline)),
            "figure_text": f"mAP of {study.task} over steps {study.steps[0]} to {study.steps[-1]}, a panel for each "
            f"relevance, and the loss; the numbers are in the tables below",
        }
        for study in found
    ]


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")


def _listed(cell: Cell, name: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The columns of one of the cell's lists of items, as words."""
    table = getattr(cell, name)
    if table is None or table.empty:
        return []
    if missing := [column for column in columns if column not in table]:
        lacking = ", ".join(missing)
        raise ValueError(f"cell {cell.name}: {name}: no column {lacking}; expected {', '.join(columns)}")
    rows = table[list(columns)].astype(object)
    return [tuple(map(words, row)) for row in rows.where(rows.notna(), None).itertuples(index=False)]


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
    return " ".join(map(title, key.split("/")[1:-1]))


def _plain(key: str) -> str:
    return str(key).replace("_", " ").replace("/", " ")
