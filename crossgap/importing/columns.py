"""The columns of one group of an import: checked, cast, and completed from each other."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap.datasets.labels import check_told_apart, label_of
from crossgap.errors import DatasetError
from crossgap.importing.files import ARRAYS, FeatureImportError
from crossgap.naming import group_called
from crossgap.prepared.manifest import BARE, CLASSES, LABEL, RESERVED, as_words
from crossgap.stores import writing

if TYPE_CHECKING:
    from jaxtyping import Bool, Integer, Real, Shaped

_SMALLEST = float(np.finfo(np.float32).tiny / np.finfo(np.float32).eps)  # a row below it loses digits
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def complete(
    name: str, columns: dict[str, np.ndarray], modalities: Mapping[str, str], exact: Container[str]
) -> dict[str, np.ndarray]:
    """A group's columns, checked and cast, with missing ones derived from the others; labels of `exact` stay."""
    modality, _, split = name.partition("/")
    _check_given(name, columns)
    rows = len(columns["features"])
    out = {
        column: values if column in ARRAYS else _strings(f"{name}:{column}", values)
        for column, values in columns.items()
    }
    out |= {
        column: _labels(values)
        for column, values in out.items()
        if column.startswith(LABEL) and column not in exact
    }
    given = group_called(name, modalities)
    out.setdefault("id", np.array([f"{given}/{row}" for row in range(rows)], dtype=object))
    repeated = pd.Series(out["id"])[pd.Series(out["id"]).duplicated()].unique()
    if len(repeated):
        raise FeatureImportError(
            f"{name}:id names {len(repeated)} items twice, such as {repeated[0]!r}: ids must be unique"
        )
    if "" in out["id"]:
        raise FeatureImportError(
            f"{name}:id has none in row {list(out['id']).index('')}: give every item one"
        )
    if modality == "image":
        out["group"] = out["id"]
    if "rank" in columns:
        out["rank"] = _ranks(name, columns["rank"], out)
    elif "group" in out:
        out["rank"] = pd.Series(out["group"]).groupby(out["group"]).cumcount().to_numpy(np.int64)
    if "truncated" in out:
        out["truncated"] = _flags(f"{name}:truncated", out["truncated"])
    labels = [values for column, values in out.items() if column.startswith(LABEL)]
    if split == CLASSES and (not labels or (np.sum([v != "" for v in labels], axis=0) != 1).any()):
        raise FeatureImportError(
            f"{name}: every class prompt needs one class: give {name}:{LABEL}<labelling>=FILE"
        )
    for column in ARRAYS:
        if column in out:
            _check_finite(f"{name}:{column}", out[column], out["id"])
    return out


def _check_given(name: str, columns: Mapping[str, np.ndarray]) -> None:
    """FeatureImportError where a group has a column that is none of its own, lacks features, or has one of another
    shape.
    """
    modality, _, split = name.partition("/")
    if modality == "image" and split in RESERVED:
        raise FeatureImportError(
            f"{name}: the split {split!r} is kept for texts: name that of images otherwise"
        )
    if modality == "image" and "group" in columns:
        raise FeatureImportError(
            f"{name}:group: `group` is of texts, the image that each belongs to; images have `id`"
        )
    of_items = [column for column in columns if column == "group" or column.startswith(LABEL)]
    if split in BARE and of_items:
        raise FeatureImportError(
            f"{name}: such texts belong to no image and no class: leave {', '.join(of_items)} out"
        )
    if "features" not in columns:
        raise FeatureImportError(f"{name} has {', '.join(columns)} but no features: give {name}=FILE")
    for column, values in columns.items():
        if column in ARRAYS:
            if values.ndim != 2 or values.dtype.kind not in "fiu" or len(values) == 0:
                raise FeatureImportError(
                    f"{name}:{column} is {values.dtype} {values.shape}: give numbers, (item, feature)"
                )
        elif values.ndim != 1:
            raise FeatureImportError(f"{name}:{column} has shape {values.shape}: give one value an item")
        elif values.dtype.kind in "cV":
            raise FeatureImportError(
                f"{name}:{column} is {values.dtype}: give one text or whole number an item"
            )
    rows = len(columns["features"])
    for column, values in columns.items():
        if len(values) != rows:
            raise FeatureImportError(f"{name}:{column} has {len(values)} rows, its features {rows}")


def _ranks(
    name: str, given: Shaped[np.ndarray, " n"], columns: dict[str, np.ndarray]
) -> Integer[np.ndarray, " n"]:
    numbers = pd.to_numeric(pd.Series(given), errors="coerce").to_numpy(float, na_value=np.nan)
    wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.rint(numbers)))
    if len(wrong):
        raise FeatureImportError(
            f"{name}:rank: {str(given[wrong[0]])!r} (row {wrong[0]}): give whole numbers, the lowest for an image's "
            "first caption"
        )
    ranks = numbers.astype(np.int64)
    if "group" not in columns:
        return ranks
    table = pd.DataFrame({"group": columns["group"], "rank": ranks})
    again = table.duplicated() & (table["group"] != "")
    if again.any():
        group, rank = table[again].iloc[0]
        raise FeatureImportError(
            f"{name}:rank: two captions of {group!r} are ranked {rank}: give each its own, or leave rank out to take "
            "the order given"
        )
    order = table.groupby("group")["rank"].rank(method="first").to_numpy().astype(np.int64) - 1
    return np.where(columns["group"] == "", ranks, order)


def _flags(name: str, words: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    found = [_FLAGS.get(word.lower()) for word in words]
    if None in found:
        row = found.index(None)
        raise FeatureImportError(
            f"{name}: {words[row]!r} (row {row}): give true or false, or 1 or 0, for every item"
        )
    return np.array(found, bool)


def _labels(values: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Labels, an empty string for -1, which stands for unlabelled."""
    return np.array([label_of(value) or "" for value in values], dtype=object)


def _strings(name: str, values: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Labels and names as str, a missing one as an empty string; 3.0 is 3, and other fractions are refused."""
    try:
        series = pd.Series(np.asarray(values))
        if series.dtype.kind == "f":
            if len(fractions := series[series.notna() & (series % 1 != 0)]):
                row, value = next(fractions.items())
                raise FeatureImportError(
                    f"{name}: {value} (row {row}): give whole numbers, or fractions as text, whose digits are the same "
                    "in every file"
                )
            check_told_apart(series.abs().max(), np.finfo(series.dtype).nmant + 1, name)
            series = series.astype("Int64")
        words = as_words(series).to_numpy(object)
        for word in words:
            word.encode()
    except DatasetError as error:
        raise FeatureImportError(str(error)) from None
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise FeatureImportError(f"{name}: {error.object!r} is not UTF-8: save it as text") from error
    return words


def _check_finite(name: str, values: Real[np.ndarray, "n d"], ids: Shaped[np.ndarray, " n"]) -> None:
    for start in range(0, len(values), writing.ROWS_A_SHARD):
        given = np.asarray(values[start : start + writing.ROWS_A_SHARD])
        with np.errstate(over="ignore"):
            block = given.astype(np.float32)
        large = np.flatnonzero((np.isfinite(given) & ~np.isfinite(block)).any(axis=1))
        if len(large):
            raise FeatureImportError(
                f"{name}: item {ids[start + large[0]]!r} (row {start + large[0]}) has a value beyond float32, "
                f"{np.finfo(np.float32).max:.2g}: scale all features, whose lengths change no cosine"
            )
        small = np.flatnonzero(given.any(axis=1) & (np.abs(block).max(axis=1, initial=0) < _SMALLEST))
        if len(small):
            raise FeatureImportError(
                f"{name}: item {ids[start + small[0]]!r} (row {start + small[0]}) has no value above {_SMALLEST:.2g}, "
                "where float32 has few digits: scale all features, whose lengths change no cosine"
            )
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1) | ~block.any(axis=1))
        if len(bad):
            raise FeatureImportError(
                f"{name}: NaN, infinity or only zeros in item {ids[start + bad[0]]!r} (row {start + bad[0]}): "
                "leave it out of all arrays of its group, or encode it again"
            )
