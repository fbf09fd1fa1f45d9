"""What is of no single cell, as papers show it: the idealised study and the trainings, their figures and a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import pandas as pd

from crossgap import naming
from crossgap.errors import CrossgapError
from crossgap.papers import figures
from crossgap.papers.cells import last_run
from crossgap.papers.filling import Figures, Filled, FilledRow
from crossgap.papers.tables import CONTRASTIVE_GAP, IDEALISED, PaperTable
from crossgap.report import idealised as idealised_part
from crossgap.report import trainings as trainings_part
from crossgap.report.blocks import Block
from crossgap.report.idealised import Experiment
from crossgap.report.results import read_table
from crossgap.report.trainings import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STUDIES = {
    "idealised": "the idealised study over its steps: loss, centroid distance, separability (It's Not a Modality Gap)",
    "trainings": "the fine-tunings over their steps: loss, centroid distance, cosine of matching pairs",
}
# of 512 dimensions, 2,048 images and batches of 128, after the last step
PUBLISHED = {"centroid_distance": 0.06, "linear_separability": 1.0}
COLUMNS = {
    "loss": "loss",
    "centroid_distance": "centroid distance",
    "linear_separability": "linear separability",
}


def experiment(name: str, tables: Path) -> Experiment:
    """What the stage `idealised` wrote of a row of params.yaml into a folder.

    Raises:
        CrossgapError: a table is not there.
    """
    found = {}
    for table in ("curves", "runs", "toy"):
        path = tables / f"{table}.csv"
        if not path.is_file():
            raise CrossgapError(f"{path} is not there: let `dvc repro` make it")
        found[table] = read_table(path)
    return Experiment(name, **found)


def training(name: str, folder: Path) -> Training | None:
    """What the stage `finetune` wrote of a row of params.yaml; None where it has not run."""
    if not (folder / "recipe.json").is_file():
        return None
    recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    paths = sorted((folder / "plots" / "metrics").glob("*.tsv"))
    curves = [pd.read_csv(path, sep="\t", index_col="step") for path in paths]
    return Training(name, recipe, pd.concat(curves, axis=1).reset_index() if curves else pd.DataFrame())


def drawn(study: str, data: Path, path: Path) -> str:
    """Draw a study of a project into a file, and say what it is of; equal results give equal bytes.

    Raises:
        CrossgapError: the project has no such study, or the file can't be drawn.
    """
    names: list[str]
    if study == IDEALISED:
        every = experiments(data)
        names = [one.name for one in every]
        blocks = [
            block for one in every for block in idealised_part.view(one)["blocks"] if block["kind"] == "lines"
        ]
    else:
        found = _trainings(data)
        names = [one.name for one in found]
        blocks = trainings_part.curves(found)
    if not blocks:
        raise CrossgapError(f"nothing of {study} has curves here: let `dvc repro` run them")
    levels = {COLUMNS[name]: value for name, value in PUBLISHED.items()} if study == IDEALISED else {}
    figures.saved(path, lambda figure: _lines(figure, blocks, levels))
    return ", ".join(names)


def table(data: Path) -> Filled:
    """The idealised study after its last step, means over seeds, with the published figures below the base run's.

    Raises:
        CrossgapError: the project has none.
    """
    rows: list[FilledRow] = []
    for one in experiments(data):
        runs = one.runs
        base = runs[runs["run"] == "base"].iloc[0]
        settings = [*idealised_part.SETTINGS, "shared", "images", "epochs"]
        for _, of in runs.groupby(settings, sort=False):
            first = of.iloc[0]
            published = PUBLISHED if (first[settings] == base[settings]).all() else {}
            numbers = [
                Figures(mean(of[f"{name}_last"]), published.get(name), CONTRASTIVE_GAP) for name in COLUMNS
            ]
            sizes = f"{one.name}: {first['width']} dimensions, {first['images']} images"
            rows.append(FilledRow(sizes, _settings(first, len(of)), numbers))
    notes = [
        "published: arXiv 2405.18570, 512 dimensions, 2,048 images, batches of 128; compare where sizes are the same",
        "measured: the mean over the seeds, on the images that were trained on",
    ]
    title = "It's Not a Modality Gap: two image encoders trained on the same images"
    of = PaperTable(IDEALISED, title, "after the last step", (CONTRASTIVE_GAP,), (), (), decimals=3)
    return Filled(of, list(COLUMNS.values()), rows, notes)


def experiments(data: Path) -> list[Experiment]:
    """The idealised experiments of the last run.

    Raises:
        CrossgapError: there are none.
    """
    names = last_run(data).get("idealised", [])
    if not names:
        raise CrossgapError(
            "no idealised study is measured here: go to the root of a project that has one, and let `dvc repro` run"
        )
    return [experiment(name, data / "metrics" / "idealised" / name / "tables") for name in names]


def _trainings(data: Path) -> list[Training]:
    names = last_run(data).get("trainings", [])
    found = [one for name in names if (one := training(name, data / "metrics" / "training" / name))]
    if not found:
        raise CrossgapError(
            "nothing was fine-tuned here: go to the root of a project that has `finetune`, and let `dvc repro` run"
        )
    return found


def _settings(row: Mapping[str, Any], seeds: int) -> str:
    more = [
        *(["one encoder"] if row["shared"] else []),
        *([f"{100 * row['mismatched']:g} % mismatched"] if row["mismatched"] else []),
        *([f"first gap {naming.number(row['gap'])}"] if row["gap"] else []),
        *([f"{seeds} seeds"] if seeds > 1 else []),
    ]
    return ", ".join(
        [f"batches of {row['batch_size']}", f"temperature {naming.number(row['temperature'])}", *more]
    )


def _lines(figure: Figure, blocks: Sequence[Block], levels: Mapping[str, float]) -> None:
    """A row a block, a column a measure; lines are means over seeds, bands go from the lowest to the highest.

    Args:
        levels: measure → what is published of it, drawn into the first row.
    """
    titles = list(dict.fromkeys(panel["title"] for block in blocks for panel in block["panels"]))
    figure.set_size_inches(1.8 + 2.0 * len(titles), 0.3 + 1.7 * len(blocks))
    axes = figure.subplots(len(blocks), len(titles), squeeze=False)
    for number, (block, row) in enumerate(zip(blocks, axes, strict=True)):
        panels = {panel["title"]: panel for panel in block["panels"]}
        names = list(dict.fromkeys(line["name"] for panel in block["panels"] for line in panel["lines"]))
        for title, axis in zip(titles, row, strict=True):
            axis.set_title(title, fontsize="medium")
            for line in panels.get(title, {}).get("lines", ()):
                colour = figures.COLOURS[names.index(line["name"]) % len(figures.COLOURS)]
                axis.plot(line["x"], line["y"], color=colour, linewidth=1.1, label=line["name"])
                if "low" in line:
                    axis.fill_between(
                        line["x"], line["low"], line["high"], color=colour, alpha=0.2, linewidth=0
                    )
            if number == 0 and title in levels:
                axis.axhline(
                    levels[title],
                    color=figures.GREY,
                    linewidth=1,
                    linestyle="--",
                    label="published, 512 dimensions",
                )
            axis.set_xscale("symlog", linthresh=1)
            axis.set_xlim(
                left=min(x for panel in block["panels"] for line in panel["lines"] for x in line["x"])
            )
            axis.set_xlabel("step")
        _legend(row)


def _legend(row: Iterable[Any]) -> None:
    axes = list(row)
    named = figures.handles(axes)
    axes[-1].legend(named.values(), named.keys(), loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
