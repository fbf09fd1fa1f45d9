"""Figures as the page embeds them: a data URI and a description each."""

from __future__ import annotations

import base64
from typing import Any

from crossgap.report import figures, gap_figures, steps
from crossgap.report.arithmetic import Arithmetic
from crossgap.report.arithmetic import figure as arithmetic_figure
from crossgap.report.results import Results
from crossgap.report.shifts import HEADS, components, shifts
from crossgap.report.similarities import SimilarityStudy


def clouds(cell: Results) -> dict[str, str]:
    """The scatter of a cell, empty where it has no points."""
    if cell.clouds is None or cell.clouds.empty:
        return {"figure": "", "figure_text": ""}
    svg = figures.clouds(cell.clouds)
    counts = cell.clouds["modality"].value_counts().sort_index()
    points = " and ".join(f"{number} {modality} features" for modality, number in counts.items())
    return picture(svg, f"Scatter of {points} on the first two principal components of all of them")


def studies(cell: Results) -> list[dict[str, Any]]:
    """Each task over the steps of its inversions, with its numbers."""
    if cell.curves is None or cell.curves.empty:
        return []
    return [
        study._asdict()
        | picture(
            figures.curves(study.points, study.length, study.baseline),
            f"mAP of {study.task} over steps {study.steps[0]} to {study.steps[-1]}, a panel for each relevance, and "
            "the loss; the numbers are in the tables below",
        )
        for study in steps.studies(cell.curves)
    ]


def similarities(study: SimilarityStudy) -> dict[str, Any]:
    """The histograms of a study, empty where it has none, with its numbers."""
    panels = [panel for column in study.columns.values() for panel in column]
    if not any(panel.matching or panel.other for panel in panels):
        return study._asdict() | {"figure": "", "figure_text": ""}
    shown = ", ".join(f"{panel.name} {panel.overlap}" for panel in next(iter(study.columns.values())))
    return study._asdict() | picture(
        figures.histograms(study.columns, study.length),
        f"Histograms of the cosine similarities of matching and of other pairs by {study.relevance}, from the top: "
        f"{shown} (the overlap of the two); more numbers are in the tables below",
    )


def shift(cell: Results) -> dict[str, Any]:
    """The gap-shift curve of a cell with its numbers, empty where it has none."""
    found = shifts(cell)
    if found is None:
        return {}
    shown = ", ".join(panel.title for panel in found.panels)
    described = f"Over the shift along the gap vector: {shown}; the numbers are in the table below"
    return found._asdict() | picture(gap_figures.shifts(found.panels), described)


def spectrum(cell: Results) -> dict[str, Any]:
    """The spectrum of a cell with its numbers, empty where it has none."""
    rows = components(cell)
    if not rows:
        return {}
    described = "Share of the variance explained by the first principal components, a line for each modality"
    return {"heads": HEADS, "rows": rows} | picture(gap_figures.spectrum(cell.spectrum), described)


def arithmetic(found: Arithmetic | None) -> dict[str, Any]:
    """The scores of a cell's arithmetic over λ with their figure, empty where it has none."""
    if found is None:
        return {}
    described = "Scores over λ, a line for each protocol and split; the numbers are in the tables below"
    return found._asdict() | picture(arithmetic_figure(found), described)


def picture(svg: str, description: str) -> dict[str, str]:
    address = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
    return {"figure": address, "figure_text": description}
