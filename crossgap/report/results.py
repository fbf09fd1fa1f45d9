"""What the report is given of one backbone on one dataset."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgap import naming
from crossgap.errors import CrossgapError
from crossgap.naming import MODALITIES

if TYPE_CHECKING:
    from pandas import DataFrame

# columns of text, in all tables
WORDS = (
    "family", "task", "relevance", "metric", "pair", "name", "title", "source", "how", "fitted_on", "parameters",
    "reason", "modality", "protocol", "at", "run", "id",
)  # fmt: skip
# columns that parts of the page know by roles
IN_ROLES = ("task", "pair", "modality", "baseline", "beside", "method")


@dataclass(frozen=True, eq=False)
class Results:
    """One backbone on one dataset, evaluated.

    Every table may be None or empty.

    Attributes:
        metrics: by the keys of `crossgap.numbers` (`retrieval/<task>/<relevance>/<metric>`, …), rates as fractions.
        clouds: x, y, modality, id.
        problems: the items set aside: id, item, problem.
        provenance: what made the features; its values may be mappings or lists.
        not_inverted: the items whose inversion has no finite loss: inversion, group, id.
        curves: a row a point over an inversion's steps: `steps.COLUMNS`.
        comparisons: methods against their baselines on the same queries: `explore.COLUMNS`.
        corrections: name, title, source, how, parameters, reason (why it is absent; empty where it is there), and
            maybe fitted_on, on what.
        similarities: of matching and of other pairs: `similarities.COLUMNS`.
        histograms: of these pairs: `similarities.HISTOGRAMS`.
        seeds: mAP by the seed of an inversion: task, relevance, seed, mAP.
        shifts: tasks with both clouds moved along the gap vector: `shifts.COLUMNS`.
        dimensions: tasks without the dimensions in which the means differ most: as `shifts`, but by `removed`.
        mixed: texts that ask among images and texts: `mixed.COLUMNS`.
        composed: an image and a text that ask for images: `composed.COLUMNS`.
        spectrum: how the variance of a modality spreads: `shifts.SPECTRUM`.
        arithmetic: text-driven arithmetic over λ: `arithmetic.COLUMNS`.
        looked_at: single queries, a row a query and method: `rankings.COLUMNS`; or what gives the rows of the first so
            many turns.
        unavailable: what could not be measured: family, name, reason.
        published: the dataset's name in the published figures, where `dataset` isn't it.
        query, gallery: the splits that they come from.
        subsets: names of the controls on a part of a labelling's classes; they count as no labelling.
        modalities: the names of what stands in the place of images and texts; metrics and tables have these two.
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
    looked_at: DataFrame | Callable[[int], DataFrame] | None = None
    unavailable: DataFrame | None = None
    published: str | None = None
    query: str | None = None
    gallery: str | None = None
    subsets: Sequence[str] = ()
    modalities: Mapping[str, str] = field(default_factory=lambda: MODALITIES)

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
        check_columns(table, frame, columns)
        held = (
            [None if missing else value for value, missing in zip(of.tolist(), of.isna(), strict=True)]
            for of in (frame[column] for column in columns)
        )
        return [dict(zip(columns, values, strict=True)) for values in zip(*held, strict=True)]


def read_table(path: Path) -> DataFrame:
    """A table as it was written: names stay text, whatever they look like, and only an empty field is missing.

    Raises:
        CrossgapError: it is damaged.
    """
    import pandas as pd

    held = path.read_bytes()
    try:
        if not held.endswith(b"\n"):  # a number whose last digits are lost is a number, too
            raise ValueError("it is cut short")
        return pd.read_csv(
            io.BytesIO(held), dtype=dict.fromkeys(WORDS, str), keep_default_na=False, na_values=[""]
        )
    except ValueError as error:
        raise CrossgapError(
            f"{path} is damaged ({error}): `dvc repro` makes what is made, and git has the rest"
        ) from None


def in_roles(table: DataFrame, modalities: Mapping[str, str]) -> DataFrame:
    """A table of an import with the roles of its modalities in place of their names, by which parts know them."""
    if modalities == MODALITIES:
        return table
    held = [name for name in IN_ROLES if name in table]
    return table.assign(**{name: [_in_roles(value, modalities) for value in table[name]] for name in held})


def _in_roles(value: Any, modalities: Mapping[str, str]) -> Any:
    return naming.in_roles(value, modalities) if isinstance(value, str) else value


def called(shown: Any, modalities: Mapping[str, str]) -> Any:
    """A part of the page with the names of modalities in all its words; what kind of block it is stays."""
    if isinstance(shown, str):
        return naming.called(shown, modalities)
    if isinstance(shown, Mapping) and shown.get("kind") == "text":
        return {**shown, "text": called(shown["text"], modalities)}
    if isinstance(shown, Mapping):
        return {
            called(key, modalities): value if key == "kind" else called(value, modalities)
            for key, value in shown.items()
        }
    return [called(one, modalities) for one in shown] if isinstance(shown, list | tuple) else shown


def check_columns(name: str, table: DataFrame, columns: Sequence[str]) -> None:
    """Raises CrossgapError if a table lacks one of the columns that are expected."""
    if missing := [column for column in columns if column not in table]:
        raise CrossgapError(f"{name}: no column {', '.join(missing)}; expected {', '.join(columns)}")
