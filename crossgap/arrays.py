"""Checked inputs: features become unit rows, labels comparable codes. Without torch, unless given it."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pandas as pd

from crossgap.errors import UnavailableError, listed

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int64, Real, Shaped

    Features = np.ndarray | torch.Tensor
    Labels: TypeAlias = Sequence[Any] | np.ndarray | pd.Series

CHECKED_AT_ONCE = 2**20


def unit_rows(
    features: Real[Features, "n d"], name: str = "features", dtype: type | None = None
) -> Float[np.ndarray, "n d"]:
    """The rows of `features` scaled to unit length, as a new NumPy array.

    Args:
        features: `(n, d)`, NumPy or torch (any device), real numbers of any width.
        name: what the errors call the array.
        dtype: of the result; by default float32 for floats of at most 32 bits (float16 and bfloat16 are
            widened before anything is computed) and float64 for everything else.

    Raises:
        TypeError: the entries are not real numbers.
        ValueError: not two-dimensional or empty; `UnavailableError` for rows that hold NaN or infinity or are all zero
            (the message names the first of them).
    """
    array = _real_matrix(features, name)
    if dtype is None:
        narrow = array.dtype.itemsize <= 4 and array.dtype.kind not in "iub"
        dtype = np.float32 if narrow else np.float64

    rows: np.ndarray = np.array(array, dtype=dtype, order="C")
    peak = _peaks(rows)
    _refuse_directionless(peak, name)
    # Dividing by the largest entry first keeps the squares from overflowing or vanishing.
    rows /= peak[:, None]
    # einsum sums longer rows in pieces that depend on the rows before.
    parts = (rows[:, start : start + 8192] for start in range(0, rows.shape[1], 8192))
    rows /= np.sqrt(sum(np.einsum("nd,nd->n", part, part) for part in parts))[:, None]
    return rows


def checked_features(features: Real[Features, "n d"], name: str = "features") -> Real[np.ndarray, "n d"]:
    """`features` in NumPy, as they are and not copied, after the checks of `unit_rows`: a block of them may
    then go to `crossgap.metrics.exact` at a time.
    """
    array = _real_matrix(features, name)
    step = max(1, CHECKED_AT_ONCE // array.shape[1])
    parts = (np.asarray(array[start : start + step], float) for start in range(0, len(array), step))
    _refuse_directionless(np.concatenate([_peaks(part) for part in parts]), name)
    return array


def check_widths(
    first: Real[np.ndarray, "n d"], second: Real[np.ndarray, "m d"], names: tuple[str, str]
) -> None:
    """Raise ValueError unless the two arrays `(n, d)` and `(m, d)` have one width."""
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{names[0]} has width {first.shape[1]} and {names[1]} width {second.shape[1]}: "
            "compare features of one backbone and one space, both projected"
        )


def flag(value: object, name: str) -> None:
    """Raise TypeError unless a setting is true or false: a word such as "no" would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {value!r}: give True or False")


def whole_number(value: object, name: str, least: int = 0) -> None:
    """Raise TypeError or ValueError unless a setting is a whole number, and not below `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is {value!r}: give a whole number from {least}")
    if value < least:
        raise ValueError(f"{name} is {value}: give at least {least}")


def cut_offs(values: object, name: str) -> list[int]:
    """Several whole numbers from 1; TypeError or ValueError where they are none."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} is {values!r}: give several cut-offs, such as (1, 5, 10)")
    held = list(values)
    if bad := [
        k
        for k in held
        if isinstance(k, bool)
        or not (isinstance(k, numbers.Real) and float(k) >= 1 and float(k).is_integer())
    ]:
        raise ValueError(f"{name} holds {listed(bad)}: a cut-off is a whole number from 1")
    return [int(k) for k in held]


def real_number(value: object, name: str) -> None:
    """Raise TypeError unless a setting is a real number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}: give a number")


def label_array(labels: Labels, count: int, name: str) -> Shaped[np.ndarray, " n"]:
    """Labels as an object array `(count,)` in which None, NaN and "" have become None.

    Raises:
        TypeError: a label is neither a string nor a number.
        ValueError: not one-dimensional, not `count` of them, or a float so large that it may be another number.
    """
    if isinstance(labels, str | bytes) or not hasattr(labels, "__len__"):
        raise TypeError(f"{name} is {labels!r}: give one label an item, `(n,)`")
    if getattr(labels, "ndim", 1) != 1:
        raise ValueError(f"{name} has shape {np.shape(labels)}: give one label an item, `(n,)`")
    if isinstance(labels, Mapping | Set):
        raise TypeError(f"{name} is a {type(labels).__name__}: give one label an item, in the items' order")
    exact = 2.0 ** (_digits(getattr(labels, "dtype", None)))
    if hasattr(labels, "detach"):
        labels = in_numpy(cast("torch.Tensor", labels))
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iufbU":
        # Python's own: a NumPy scalar raises, and loses, an error as "" is compared with it
        labels = labels.tolist()
    values = np.fromiter(labels, dtype=object, count=len(labels))
    if len(values) != count:
        raise ValueError(f"{name} holds {len(values)} labels for {count} items: give one label an item")
    values[pd.isna(values)] = None
    kinds = {type(value) for value in values} - {type(None)}
    for kind in kinds:
        if not issubclass(kind, (str, numbers.Real, np.bool_)):
            raise TypeError(f"{name} holds a {kind.__name__}: a label is a string or a number")
    floats = {
        kind: min(exact, 2.0 ** _digits(kind)) for kind in kinds if issubclass(kind, (float, np.floating))
    }
    held = (
        [(float(value), floats[type(value)]) for value in values if type(value) in floats] if floats else []
    )
    if large := [number for number, limit in held if abs(number) >= limit]:
        raise ValueError(
            f"{name} holds {large[0]:.0f} as a float, which can't be told from its neighbours: give integers or strings"
        )
    values[values == ""] = None
    return values


def _digits(kind: Any) -> int:
    """Binary digits of a whole number that floats of a type hold; 53 of what is no float."""
    name = str(kind).removeprefix("torch.").lower()
    if name in ("float16", "float32", "bfloat16"):
        return {"float16": 11, "float32": 24, "bfloat16": 8}[name]
    return np.finfo(kind).nmant + 1 if isinstance(kind, type) and issubclass(kind, np.floating) else 53


def label_codes(
    first: Shaped[np.ndarray, " n"], second: Shaped[np.ndarray, " m"], names: tuple[str, str]
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " m"]]:
    """Integers `(n,)`, `(m,)` that are equal where the labels (of `label_array`) are; None equals nothing.

    Raises:
        ValueError: one side holds only strings and the other only numbers, which could never match; or a number and
            the same number as a string are among them.
    """
    sides = [{isinstance(value, str) for value in values if value is not None} for values in (first, second)]
    if all(sides) and not sides[0] & sides[1]:
        strings, numbers = names if True in sides[0] else names[::-1]
        raise ValueError(f"{strings} holds strings and {numbers} numbers, which never match: use one kind")
    both = np.concatenate([first, second])
    if len(sides[0] | sides[1]) == 2:
        words = {value for value in both if isinstance(value, str)}
        others = {value for value in both if value is not None and not isinstance(value, str)}
        if twice := [value for value in others if words & {str(value), str(value).removesuffix(".0")}]:
            raise ValueError(
                f"{' and '.join(names)} hold {twice[0]!r} as a number and as a string, which never match: use one kind"
            )
    codes, _ = pd.factorize(both)
    one, other = codes[: len(first)], codes[len(first) :]
    return np.where(one < 0, -1, one), np.where(other < 0, -2, other)


def item_names(ids: Labels, count: int, name: str = "ids") -> list[str]:
    """The ids of items as strings, `count` of them: what is drawn for an item follows from its own.

    Raises:
        TypeError, ValueError: ids that are no labels, of another number, or missing.
    """
    held = label_array(ids, count, name)
    if (missing := np.flatnonzero(pd.isna(held))).size:
        raise ValueError(f"{name} lacks the id of items {listed(missing)}: give every item one")
    return [str(value) for value in held]


def places_of(
    values: Sequence[int] | np.ndarray, name: str, count: int, among: int, least: int = 0
) -> Int64[np.ndarray, " n"]:
    """Places `(count,)` in an array of `among` rows, from 0; from `least` -1 where that stands for none.

    Raises:
        TypeError, ValueError: another number of them, no whole numbers, or a place that there is not.
    """
    held = in_numpy(values)
    if held.shape != (count,):
        raise ValueError(f"{name} has shape {held.shape}: give one place an item, `({count},)`")
    if held.size and held.dtype.kind not in "iu":
        raise TypeError(f"{name} holds {held.dtype}: give places, whole numbers from {least}")
    if (wrong := held[(held < least) | (held >= among)]).size:
        raise ValueError(f"{name} holds {listed(wrong)}: give places from {least} to {among - 1}")
    return held.astype(np.int64, copy=False)


def flags_of(values: Sequence[bool] | np.ndarray, name: str, count: int) -> Bool[np.ndarray, " n"]:
    """An array `(count,)` of bool; TypeError or ValueError where it is none."""
    held = in_numpy(values)
    if held.dtype != bool:
        raise TypeError(f"{name} holds {held.dtype}: give True or False an item")
    if held.shape != (count,):
        raise ValueError(f"{name} has shape {held.shape}: give one an item, `({count},)`")
    return held


def require_columns(table: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    """Raise TypeError or ValueError unless a table is a DataFrame that has each of these columns once."""
    wanted = f"{', '.join(columns[:-1])} and {columns[-1]}"
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"{name} is a {type(table).__name__}: give a DataFrame with the columns {wanted}")
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"{name} lacks the columns {listed(missing)}: give {wanted}")
    if twice := [column for column in columns if list(table.columns).count(column) > 1]:
        raise ValueError(f"{name} has the columns {listed(twice)} twice: give each once")


def in_numpy(values: Any) -> np.ndarray:
    """An array, of NumPy or torch or a list, in NumPy and as it is; floats of 8 bits and bfloat16 of torch are widened.

    Raises:
        TypeError: a masked array.
    """
    if hasattr(values, "detach"):
        tensor = values.detach().cpu().resolve_conj().resolve_neg()
        narrow = str(tensor.dtype).startswith(("torch.bfloat16", "torch.float8"))
        return (tensor.float() if narrow else tensor).numpy()
    if np.ma.is_masked(values):
        raise TypeError("a masked array, whose mask would be lost: leave its rows out, or fill them")
    if isinstance(values, list | tuple) and values and hasattr(values[0], "detach"):
        values = [in_numpy(one) for one in values]
    return np.asarray(values)


def real_array(values: Features, name: str, shape: str = "(n, d)") -> Real[np.ndarray, "*shape"]:
    """`values`, of NumPy or torch or in lists, in NumPy and as they are.

    Args:
        name: what the errors call it.
        shape: what they say is to be given.

    Raises:
        TypeError: the entries are not real numbers, or NumPy can't hold them.
        ValueError: lists of unequal lengths.
    """
    try:
        array = in_numpy(values)
    except (TypeError, RuntimeError) as error:  # torch's, of sparse tensors and of those without data
        raise TypeError(f"{name}: {error}") from None
    except ValueError:
        raise ValueError(f"{name} holds rows of unequal lengths: give a float array `{shape}`") from None
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise TypeError(f"{name} holds {array.dtype}, not real numbers: give a float array `{shape}`")
    return array


def _real_matrix(features: Features, name: str) -> np.ndarray:
    array = real_array(features, name)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}: give one row an item, `(n, d)`")
    if 0 in array.shape:
        raise ValueError(f"{name} is empty, shape {array.shape}: give at least one row and one column")
    return array


def _peaks(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The largest magnitude of each row (n,)."""
    return np.maximum(rows.max(axis=1), -rows.min(axis=1))


def _refuse_directionless(peak: Float[np.ndarray, " n"], name: str) -> None:
    remedy = "encode these items again or set them aside"
    _refuse_rows(~np.isfinite(peak), f"{name} holds NaN or infinity", remedy)
    _refuse_rows(peak == 0, f"{name} holds zero vectors, which have no direction,", remedy)


def _refuse_rows(bad: Bool[np.ndarray, " n"], what: str, remedy: str) -> None:
    if bad.any():
        rows = np.flatnonzero(bad)
        raise UnavailableError(f"{what} in {len(rows)} of {len(bad)} rows ({listed(rows)}): {remedy}")
