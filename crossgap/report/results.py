"""What the report is given of one backbone on one dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crossgap.errors import CrossgapError

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False)
class Results:
    """One backbone on one dataset, evaluated.

    Every table may be None or empty.

    Attributes:
        metrics: the flat keys of metrics.json (`retrieval/<task>/<relevance>/<metric>`, …), rates as fractions.
        clouds: x, y, modality, id.
        problems: the items set aside: id, item, problem.
        provenance: what made the features; its values may be mappings or lists.
        not_inverted: the items whose inversion has no finite loss: inversion, group, id.
        curves: a row a point over an inversion's steps: `steps.COLUMNS`.
        comparisons: methods against their baselines on the same queries: `explore.COLUMNS`.
        corrections: name, title, source, how, parameters, reason (why it is absent; empty where it is there).
        similarities: of matching and of other pairs: `similarities.COLUMNS`.
        histograms: of these pairs: `similarities.HISTOGRAMS`.
        seeds: mAP by the seed of an inversion: task, relevance, seed, mAP.
        shifts: tasks with both clouds moved along the gap vector: `shifts.COLUMNS`.
        dimensions: tasks without the dimensions in which the means differ most: as `shifts`, but by `removed`.
        mixed: texts that ask among images and texts: `mixed.COLUMNS`.
        composed: an image and a text that ask for images: `composed.COLUMNS`.
        spectrum: how the variance of a modality spreads: `shifts.SPECTRUM`.
        arithmetic: text-driven arithmetic over λ: `arithmetic.COLUMNS`.
        unavailable: what could not be measured: family, name, reason.
        published: the dataset's name in the published figures, where `dataset` isn't it.
        query, gallery: the splits that they come from.
    """

    backbone: str
    dataset: str
    metrics: Mapping[str, float | int]
    clouds: DataFrame | None = None
    problems: DataFrame | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    not_inverted: DataFrame | None = None
    curves: DataFrame | None = None
    comparisons: DataFrame | None = None
    corrections: DataFrame | None = None
    similarities: DataFrame | None = None
    histograms: DataFrame | None = None
    seeds: DataFrame | None = None
    shifts: DataFrame | None = None
    dimensions: DataFrame | None = None
    mixed: DataFrame | None = None
    composed: DataFrame | None = None
    spectrum: DataFrame | None = None
    arithmetic: DataFrame | None = None
    unavailable: DataFrame | None = None
    published: str | None = None
    query: str | None = None
    gallery: str | None = None

    @property
    def name(self) -> str:
        return f"{self.backbone} · {self.dataset}"

    def rows(self, table: str, columns: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of one of the tables, by these columns; what is missing in it is None.

        Raises CrossgapError if it lacks a column.
        """
        frame = getattr(self, table)
        if frame is None or frame.empty:
            return []
        if lacking := [column for column in columns if column not in frame]:
            raise CrossgapError(f"{table}: no column {', '.join(lacking)}; expected {', '.join(columns)}")
        held = frame[list(columns)].astype(object)
        return held.where(held.notna(), None).to_dict("records")


def check_columns(name: str, table: DataFrame, columns: Sequence[str]) -> None:
    """Raises CrossgapError if a table lacks one of the columns that are expected."""
    if missing := [column for column in columns if column not in table]:
        raise CrossgapError(f"{name}: no column {', '.join(missing)}; expected {', '.join(columns)}")
