"""Composed queries: an image and a text that says what is to differ, and which images answer both.

Three tables, by ids. `asked`, a row a text of a query: `query`, `image` (the reference), `text` (of the split
"composed"; the texts of one query say the same and are averaged), its `words`, "" where they are not known, and `set`,
what results are averaged over once more, "" for one set. `judged`: `query`, `image` and `role`:

- `target`, the image that the text was written for, of a set that has one;
- `relevant`, an answer; a target is one too, and is not named twice;
- `ignored`, an image that is left out of the ranking, as the reference is in most protocols;
- `member`, one of a few images that the query is ranked among a second time (CIRR); a row beside its other roles.

`galleries`: `set` and an `image` of its own gallery; queries of a set without rows there search all images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from crossgap.errors import DatasetError
from crossgap.prepared import manifest, parquet

TARGET, RELEVANT, IGNORED, MEMBER = ROLES = ("target", "relevant", "ignored", "member")
TABLES: dict[str, tuple[str, ...]] = {
    "asked": ("query", "image", "text", "words", "set"),
    "judged": ("query", "image", "role"),
    "galleries": ("set", "image"),
}
# what results are of beside single sets, so that no set is called so
ALL, HALF, MEAN = NOT_SETS = ("all", "half", "mean of sets")
_NAMED = 3
Rule = tuple[pd.DataFrame, pd.Series | np.ndarray, str]


class Composed(NamedTuple):
    """The tables, with the columns of `TABLES`: str."""

    asked: pd.DataFrame
    judged: pd.DataFrame
    galleries: pd.DataFrame

    @classmethod
    def of(
        cls,
        asked: Iterable[tuple[str, str, str, str, str]],
        judged: Iterable[tuple[str, str, str]],
        galleries: Iterable[tuple[str, str]] = (),
    ) -> Composed:
        """The tables of these rows."""
        rows = zip((asked, judged, galleries), TABLES.values(), strict=True)
        return cls(*(pd.DataFrame(list(held), columns=list(columns), dtype=object) for held, columns in rows))

    def without(self, images: Iterable[str]) -> tuple[Composed, dict[str, str]]:
        """What is left without some images; and query → what it lost, its reference or its target, where it went too.

        A query without a target goes with the last of its answers. Galleries and members lose the images alone.
        """
        gone = set(images)
        judged = self.judged[~self.judged["image"].isin(gone)]
        answered = set(judged.loc[judged["role"].isin((TARGET, RELEVANT)), "query"])
        aimed = self.judged["role"].eq(TARGET) & self.judged["image"].isin(gone)
        unaimed = set(self.judged.loc[aimed, "query"])
        lost = {
            row.query: "reference" if row.image in gone else "target"
            for row in self.asked.itertuples(index=False)
            if row.image in gone or row.query in unaimed or row.query not in answered
        }
        kept = (
            self.asked[~self.asked["query"].isin(lost)],
            judged[~judged["query"].isin(lost)],
            self.galleries[~self.galleries["image"].isin(gone)],
        )
        return Composed(*(held.reset_index(drop=True) for held in kept)), lost


def validate(given: Composed, images: Iterable[str], texts: Iterable[str]) -> Composed:
    """The tables with their columns in order, as str.

    Args:
        images, texts: ids of the items that may be named.

    Raises:
        DatasetError: a column is missing, there are no queries, or rows hold an unknown id or role, a query with two
            references, without an answer or with two targets, a set called as one of `NOT_SETS`, or a row given twice.
    """
    for held, (what, columns) in zip(given, TABLES.items(), strict=True):
        if missing := [name for name in columns if name not in held]:
            raise DatasetError(
                f"composed queries, {what}: no column {', '.join(missing)}: give {', '.join(columns)}"
            )
    asked, judged, galleries = (
        manifest.in_words(held, columns) for held, columns in zip(given, TABLES.values(), strict=True)
    )
    if asked.empty:
        raise DatasetError("composed queries: there are none: give a row for each, or leave the tables out")
    tables = Composed(asked, judged, galleries)
    broken = [
        line
        for what, of in _rules(tables, pd.Index(list(images)), pd.Index(list(texts))).items()
        for held, wrong, rule in of
        for line in _said(what, held, wrong, rule)
    ]
    if broken:
        raise DatasetError(
            "\n".join(["composed queries can't be used; they name items by their ids:", *broken])
        )
    return tables


def _rules(given: Composed, images: pd.Index, texts: pd.Index) -> Mapping[str, list[Rule]]:
    """By table: rows, which of them break a rule, and the rule."""
    asked, judged, galleries = given
    answers = judged[judged["role"].isin((TARGET, RELEVANT))]
    targets = judged[judged["role"] == TARGET]
    no_image = "no image has this id"
    return {
        "asked": [
            (asked, ~asked["image"].isin(images), no_image),
            (asked, ~asked["text"].isin(texts), "no text of the split 'composed' has the id of the text"),
            (asked, asked["query"] == "", "no query: name each"),
            (
                asked,
                asked.groupby("query")["image"].transform("nunique") > 1,
                "a query has one reference image",
            ),
            (asked, asked.groupby("query")["set"].transform("nunique") > 1, "a query is in one set"),
            (asked, asked["set"].isin(NOT_SETS), "a set called all, half or mean of sets: name it otherwise"),
            (asked, asked.duplicated(keep=False), "a text asked twice: give it once"),
            (asked, ~asked["query"].isin(answers["query"]), "no image is named that answers the query"),
        ],
        "judged": [
            (judged, ~judged["image"].isin(images), no_image),
            (judged, ~judged["query"].isin(asked["query"]), "no query is called so"),
            (judged, ~judged["role"].isin(ROLES), f"a role is one of {', '.join(ROLES)}"),
            (judged, judged.duplicated(keep=False), "an image judged twice: give it once"),
            (
                targets,
                targets["query"].duplicated(keep=False),
                "a query has one target; the others are relevant",
            ),
            (
                answers,
                answers.duplicated(["query", "image"], keep=False),
                "a target is relevant: name it once",
            ),
        ],
        "galleries": [
            (galleries, ~galleries["image"].isin(images), no_image),
            (galleries, galleries.duplicated(keep=False), "an image of a gallery given twice: give it once"),
        ],
    }


def write(tables: Composed, folder: str | Path) -> None:
    """Write validated tables into the folder."""
    for held, path in zip(tables, _paths(folder), strict=True):
        held.to_parquet(path, index=False)


def read(folder: str | Path) -> Composed | None:
    """The folder's tables; None where it has none; CrossgapError where it is damaged."""
    paths = _paths(folder)
    return Composed(*map(parquet.read, paths)) if paths[0].is_file() else None


def _paths(folder: str | Path) -> list[Path]:
    return [Path(folder) / f"composed-{name}.parquet" for name in TABLES]


def _said(what: str, frame: pd.DataFrame, broken: pd.Series | np.ndarray, rule: str) -> Iterable[str]:
    wrong = frame[np.asarray(broken, bool)]
    if len(wrong):
        rows = "; ".join(", ".join(row) for row in wrong.head(_NAMED).itertuples(index=False))
        yield f"  {what}: {rule} ({len(wrong)} rows: {rows}{'; …' if len(wrong) > _NAMED else ''})"
