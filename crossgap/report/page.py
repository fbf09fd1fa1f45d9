"""The report's page: the data it shows, and one file that shows them."""

from __future__ import annotations

import base64
import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from crossgap.errors import CrossgapError
from crossgap.naming import ALPHA, MODALITIES
from crossgap.relevances import uncounted
from crossgap.report import gap
from crossgap.report.answer import answers
from crossgap.report.clouds import Names
from crossgap.report.explore import lines, packed
from crossgap.report.idealised import Experiment
from crossgap.report.idealised import view as experiment_view
from crossgap.report.looked import MEGABYTES, looks
from crossgap.report.packing import packed_json
from crossgap.report.parts import parts
from crossgap.report.results import Results, called
from crossgap.report.thumbnails import Sighted
from crossgap.report.trainings import Training
from crossgap.report.trainings import view as trainings_view

if TYPE_CHECKING:
    from jinja2 import Environment
    from pandas import DataFrame

SCRIPTS = ("vendor/d3.min.js", "vendor/plot.min.js", "vendor/tabulator.min.js", "page.js")
STYLES = ("vendor/tabulator.min.css", "page.css")
# bytes of what the page holds of single cells, but for thumbnails: beyond, parts are left out
ROOM = 13_200_000
NUMBERS = 9_600_000  # bytes of them that numbers may take: beyond, what nothing is compared by is left out
P = 4  # of the columns of a cell's tests
LAST = ("The clouds", "Over the shift: what the gap costs", "Spectrum")  # that are left out
HERE = "here"  # the id of what `crossgap report` fills in: what is known of this machine and copy alone
LICENCES = {"Tabulator": "tabulator", "D3": "d3", "Observable Plot": "plot"}


def render(
    cells: Sequence[Results],
    published: DataFrame | None = None,
    experiments: Sequence[Experiment] = (),
    trainings: Sequence[Training] = (),
    made: Mapping[str, str] | None = None,
    sights: Mapping[str, Sighted] | None = None,
    megabytes: float = MEGABYTES,
) -> str:
    """The report on `cells`, in their order: one HTML file that loads nothing from elsewhere.

    Equal cells give equal text. The numbers are in it once, as compressed JSON, a line a cell, from which its script
    makes tables and figures; the answers are sentences of HTML. What a cell lacks is left out or shown as "–"; a metric
    that no part knows is listed under "Other numbers", and a table that none knows by its columns.

    Args:
        published: figures to stand beside the measured ones: `published.COLUMNS`.
        experiments: idealised ones, which are of no cell.
        trainings: of the backbones that were fine-tuned.
        made: how the page was made, by name; a value of several lines is shown when asked for.
        sights: by dataset, what its items look like; items of another one are shown by their ids.
        megabytes: of single queries, with their pictures, at most.

    Raises CrossgapError if two cells are of the same backbone and dataset, a table lacks a column or names a family of
    comparisons that there isn't, or a point of a cloud has no finite coordinates.
    """
    found = data(cells, published, trainings)
    idealised = []
    for experiment in experiments:
        try:
            idealised.append(experiment_view(experiment))
        except CrossgapError as error:
            raise CrossgapError(f"idealised experiment {experiment.name}: {error}") from None
    found["parts"]["idealised"] = [{"name": view["name"], "blocks": view["blocks"]} for view in idealised]
    held = looks(cells, sights, megabytes)
    found["looked"] = held.head
    found["made"] = [list(row) for row in (made or {}).items()]
    own, later = found.pop("own"), found.pop("parts")
    numbers, unshown = _numbers(own, found["explore"])
    taken = sum(map(len, [*numbers, *held.lines]))
    chapters, left_out = _within(later.pop("cells"), ROOM - taken)
    later["left_out"] = [*(["explore", name] for name in unshown), *left_out]
    scripts = [_packaged(name) for name in SCRIPTS]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            cells=cells,
            alpha=ALPHA,
            answers=found.pop("answers"),
            experiments=idealised,
            chapters={name for name in ("trainings", "idealised") if later[name]}
            | ({"queries"} if any(held.lines) else set()),
            data={
                "data": packed_json(found),
                "cells": "\n".join(numbers),
                "parts": packed_json(later),
                "chapters": "\n".join(chapters),
                "looked": "\n".join(held.lines),
                "pictures": "\n".join(held.pictures),
                HERE: "",
            },
            scripts=scripts,
            styles=[_packaged(name) for name in STYLES],
            hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
            licences={name: _packaged(f"vendor/{stem}.LICENSE") for name, stem in LICENCES.items()},
        )
    )


def with_here(page: str, content: object) -> str:
    """A page of `render` with what is known where it is looked at; JSON-able: `facts`, `heads` and `stages`.

    Raises CrossgapError of another page.
    """
    empty = _block(HERE, "")
    if page.count(empty) != 1:
        raise CrossgapError("the page was made by another crossgap: let `dvc repro` make it again")
    return page.replace(empty, _block(HERE, packed_json(content)))


def _block(name: str, content: str) -> str:
    return f'<script type="text/plain" id="{name}">{content}</script>'


def data(
    cells: Sequence[Results], published: DataFrame | None = None, trainings: Sequence[Training] = ()
) -> dict[str, Any]:
    """All that the page shows as plain data: `answers`, what its script needs at once, `own`, the numbers of each cell,
    and `parts`, drawn later.

    Raises CrossgapError as `render` does.
    """
    seen: set[tuple[str, str]] = set()
    for cell in cells:
        if (cell.backbone, cell.dataset) in seen:
            raise CrossgapError(f"cells: {cell.name} is there twice; give each backbone and dataset once")
        seen.add((cell.backbone, cell.dataset))
    measured, views, names = [], [], Names()
    for cell in cells:
        try:
            measured.append((cell, lines(cell)))
            of_cell = [part._asdict() for part in parts(cell, published, names)]
            if cell.modalities != MODALITIES:
                of_cell = called(of_cell, cell.modalities)
        except CrossgapError as error:
            raise CrossgapError(f"cell {cell.name}: {error}") from None
        views.append(of_cell)
    shared, own = packed(measured)
    return {
        "answers": answers(measured),
        "cells": [
            {
                "backbone": cell.backbone,
                "dataset": cell.dataset,
                "uncounted": sorted(uncounted((line.labelling for line in of), cell.subsets)),
            }
            for cell, of in measured
        ],
        "alpha": ALPHA,
        "explore": shared,
        "own": own,
        "gap": gap.measures(cells),
        "parts": {
            "cells": views,
            "items": list(names.items),
            "lists": list(names.lists),
            "trainings": trainings_view(trainings, cells, published),
        },
    }


def _numbers(own: Sequence[dict[str, Any]], explore: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The numbers of each cell, compressed, in `NUMBERS` bytes; and the metrics left out.

    Those are left out first that take most, and never one that methods are compared by.
    """
    made = list(map(packed_json, own))
    if sum(map(len, made)) <= NUMBERS:
        return made, []
    main = {str(row[5]) for rows in explore["rows"] for row in rows}
    sizes: Counter[str] = Counter()
    for cell in own:
        for metric, column in cell["metrics"].items():
            if metric not in main:
                sizes[metric] += len(packed_json(column))
    largest = [metric for metric, _ in sizes.most_common()]
    left_out: list[str] = []
    for share, tested in ((2, True), (1, True), (1, False)):  # half of them, all, and uncorrected p as well
        left_out = largest[: -(-len(largest) // share)]
        made = list(map(packed_json, (_without(cell, left_out, tested) for cell in own)))
        if sum(map(len, made)) <= NUMBERS:
            break
    names = [explore["names"][int(metric)][0] for metric in left_out]
    return made, [*names, *([] if tested else ["p before its correction"])]


def _without(cell: dict[str, Any], metrics: Sequence[str], tested: bool) -> dict[str, Any]:
    """The numbers of a cell but for some metrics and, unless `tested`, each comparison's uncorrected p."""
    tests = cell["tests"]
    if tests and not tested:
        tests = [[None] * len(column) if number == P else column for number, column in enumerate(tests)]
    kept = {name: held for name, held in cell["metrics"].items() if name not in metrics}
    return {**cell, "metrics": kept, "tests": tests}


def _within(views: Sequence[list[dict[str, Any]]], room: int) -> tuple[list[str], list[list[str]]]:
    """The parts of each cell, compressed, in so many bytes; and chapter and title of those left out.

    Where not all fit, the parts with the most bytes are left out, of all cells alike, those of `LAST` after all others.
    """
    made = list(map(packed_json, views))
    if sum(map(len, made)) <= room:
        return made, []
    sizes: Counter[tuple[str, str]] = Counter()
    for view in views:
        for part in view:
            sizes[part["chapter"], part["title"]] += len(packed_json(part))
    largest = sorted(sizes, key=lambda name: (name[1] in LAST, -sizes[name]))

    @cache
    def without(number: int) -> list[str]:
        gone = set(largest[:number])
        return [
            packed_json([part for part in view if (part["chapter"], part["title"]) not in gone])
            for view in views
        ]

    numbers = range(1, len(largest))
    enough = 1 + bisect_left(numbers, -room, key=lambda number: -sum(map(len, without(number))))
    return without(enough), list(map(list, largest[:enough]))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    found = FunctionLoader(_packaged)
    return Environment(
        loader=found, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _packaged(name: str) -> str:
    return files("crossgap.report").joinpath(*name.split("/")).read_text("utf-8")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
