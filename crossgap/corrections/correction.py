"""What a fitted correction is, a frozen affine map a modality, and the checks that all fits share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from crossgap.arrays import check_widths, checked_features, real_array, unit_rows, whole_number
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features
    from crossgap.corrections.scoring import Scoring

MODALITIES = ("image", "text")
ROUNDING = 1e-28  # a mean square distance of unit rows to their mean below this is none


@dataclass(frozen=True, eq=False)
class Affine:
    """x ↦ (x − centre) · matrix + shift, row by row.

    Attributes:
        matrix: `(width, k)`, or `(width,)` for a diagonal one.
        centre: `(width,)`, or 0.
        shift: `(k,)`, or 0.
    """

    matrix: Float64[np.ndarray, "width k"] | Float64[np.ndarray, " width"]
    centre: Float64[np.ndarray, " width"] | float = 0.0
    shift: Float64[np.ndarray, " k"] | float = 0.0

    def __call__(self, rows: Float64[np.ndarray, "n width"]) -> Float64[np.ndarray, "n k"]:
        rows = rows - self.centre
        if self.matrix.ndim == 1:
            rows *= self.matrix
        else:
            rows = rows @ self.matrix
        rows += self.shift
        return rows


@dataclass(frozen=True, eq=False)
class Correction:
    """A fitted correction of features.

    Attributes:
        maps: modality → the map of its unit rows; a modality without a map is not handled.
        parameters: JSON-able: what the fit chose and how many items it saw.
        space: which features `apply` takes. "projected": a tower's output. "preprojection": what its last
            linear map is applied to; the corrected features then lie in the joint space all the same.
        sides: "both": queries and gallery are corrected. "query": the query goes into the other modality and is
            compared with the untouched gallery, as an inverted one is.
        scoring: of a correction that changes no feature (`maps` is empty): what it adds to the similarities.
        gallery: maps of items that are found, where they aren't those of the items that ask.
        similarity: of composed queries with the gallery: "cosine" of the corrected features, or their inner product.
            All other tasks rank by cosine.
    """

    maps: Mapping[str, Affine]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    space: Literal["projected", "preprojection"] = "projected"
    sides: Literal["both", "query"] = "both"
    scoring: Scoring | None = None
    gallery: Mapping[str, Affine] = field(default_factory=dict)
    similarity: Literal["cosine", "dot"] = "cosine"

    def handles(self, modality: str) -> bool:
        """Whether there is a map for features of this modality."""
        return modality in self.maps

    def apply(
        self, features: Real[Features, "n width"], modality: str, side: Literal["query", "gallery"] = "query"
    ) -> Float64[np.ndarray, "n k"]:
        """Corrected features `(n, k)` in float64, each row by itself; not of unit length: rank them by cosine.

        Args:
            features: `(n, width)`, NumPy or torch, of any length: their rows are first scaled to unit length.
                Pre-projection features may lack one column of the weights: the bias's, which is filled with ones.
            modality: "image" or "text", of the features.
            side: what the items are for; it matters to a correction that has maps of the `gallery` alone.

        Raises:
            TypeError: `features` doesn't hold real numbers.
            ValueError: an unknown modality or one without a map, the wrong width, or rows that hold NaN or infinity
                or are all zero.
        """
        if modality not in MODALITIES:
            raise ValueError(f"modality is {modality!r}: give one of {', '.join(MODALITIES)}")
        if not self.handles(modality):
            raise ValueError(
                f"{modality} features: this correction was fitted for {' and '.join(self.maps)} features only; "
                f"fit it with {modality} features too if it takes them"
            )
        maps = {**self.maps, **self.gallery} if side == "gallery" else self.maps
        name, affine = f"{modality} features", maps[modality]
        width = len(affine.matrix)
        if self.space == "preprojection" and np.shape(features)[1:] == (width - 1,):
            features = np.column_stack([checked_features(features, name), np.ones(len(features))])
        rows = unit_rows(features, name, np.float64)
        if rows.shape[1] != width:
            raise ValueError(
                f"{name} have width {rows.shape[1]} and the correction takes {width}: "
                f"give {self.space} features of the backbone it was fitted for"
            )
        return affine(rows)


def fitted_each(
    fit: Callable[[np.ndarray, Features], tuple[Affine, dict[str, Any]]],
    image_features: Real[Features, "n d"] | None,
    text_features: Real[Features, "m d"] | None,
) -> Correction:
    """A correction of both sides whose map of a modality is fitted on that modality's unit rows alone.

    Args:
        fit: unit rows `(n, d)`, float64, and the features that they are of → their map and its parameters.
        image_features: `(n, d)`; None leaves images without a map.
        text_features: `(m, d)`; None leaves texts without a map.

    Raises:
        TypeError, ValueError: features that cannot be used, two widths, or none at all; `UnavailableError` for fewer
            than 2 rows, or rows that are all the same: less their mean, nothing but rounding is left of them.
    """
    both = {"image": image_features, "text": text_features}
    given = {modality: features for modality, features in both.items() if features is not None}
    rows = {
        modality: unit_rows(features, f"{modality}_features", np.float64)
        for modality, features in given.items()
    }
    if not rows:
        raise ValueError("neither image_features nor text_features: give at least one to fit on")
    for modality, features in rows.items():
        if len(features) < 2:
            raise UnavailableError(f"{modality}_features holds 1 row: give at least 2 to fit on")
        if one_point(features):
            raise UnavailableError(
                f"{modality}_features are all the same: give a calibration set that varies"
            )
    if len(rows) == 2:
        check_widths(rows["image"], rows["text"], ("image_features", "text_features"))
    maps: dict[str, Affine] = {}
    parameters: dict[str, Any] = {}
    for modality, features in rows.items():
        maps[modality], chosen = fit(features, given[modality])
        parameters[modality] = {"items": len(features)} | chosen
    return Correction(maps, parameters)


def one_point(rows: Float64[np.ndarray, "n d"]) -> bool:
    """Whether unit rows `(n, d)` differ by no more than rounding."""
    apart = rows - rows.mean(axis=0)
    return bool(np.square(apart, out=apart).sum() <= len(rows) * ROUNDING)


def each_side(
    fit: Callable[[Features | None, Features | None], Correction],
    image_features: Real[Features, "n d"] | None,
    text_features: Real[Features, "m d"] | None,
    given: Correction | None = None,
) -> Correction:
    """`fit` each modality by itself. A modality that can't be fitted has no map, and its parameters say why.

    Args:
        given: maps that need no fit: their modalities have these.

    Raises:
        UnavailableError: no modality has a map.
    """
    sides = {"image": (image_features, None), "text": (None, text_features)}
    maps = {} if given is None else dict(given.maps)
    parameters = {} if given is None else dict(given.parameters)
    reasons = []
    for modality, features in sides.items():
        if modality in maps or all(side is None for side in features):
            continue
        try:
            found = fit(*features)
        except UnavailableError as reason:
            reasons.append(str(reason))
            parameters[modality] = {"not fitted:": str(reason)}
        else:
            maps |= found.maps
            parameters |= found.parameters
    if not maps:
        raise UnavailableError("; ".join(reasons))
    return Correction(maps, parameters)


def tried(
    fit: Callable[[Features], Correction], features: Real[Features, "n d"]
) -> Correction | UnavailableError:
    """`fit(features)`, or the reason why these features can't be fitted."""
    try:
        return fit(features)
    except UnavailableError as reason:
        return reason


def principal_directions(
    rows: Float64[np.ndarray, "n d"], centred: bool, noise: Float64[np.ndarray, " d"]
) -> tuple[Float64[np.ndarray, " d"], Float64[np.ndarray, "d d"], int]:
    """Eigenvalues `(d,)`, falling, eigenvectors `(d, d)` as columns, and rank, of the rows' second moment.

    Args:
        rows: `(n, d)` float64.
        centred: take it about the rows' mean: their covariance (divided by n).
        noise: `(d,)`, what `rounding` gives for the features.

    The rank counts the leading eigenvalues above max(n, d) · ε times the rows' mean square length, and above the noise
    of their directions: the rest is rounding.
    """
    length = np.square(rows).sum() / len(rows)
    if centred:
        rows = rows - rows.mean(axis=0)
    values, vectors = (held[..., ::-1] for held in np.linalg.eigh(rows.T @ rows / len(rows)))
    floor = length * np.maximum(max(rows.shape) * np.finfo(np.float64).eps, noise @ np.square(vectors))
    return values, vectors, int(np.logical_and.accumulate(values > floor).sum())


def rounding(features: Real[Features, "n d"], name: str) -> Float64[np.ndarray, " d"]:
    """What the rounding of float16 or bfloat16 features, of length 1, adds at most to the variance of each dimension.

    Features count as such whose values all are, whatever the type that holds them. Rounding moves a value evenly by
    up to half its unit in the last place u, a variance of u²/12. The largest eigenvalue of the covariance of n random
    rows of d such values is (1 + √(d/n))² times that (Marchenko and Pastur, 1967). Equal rows are rounded alike, and
    count as one.

    Args:
        features: `(n, d)`, of any length.

    Returns zeros for features of more digits.

    Raises:
        TypeError, ValueError: features that cannot be used.
    """
    values = np.asarray(checked_features(features, name))
    digits, width = _digits(values), values.shape[1]
    if digits is None:
        return np.zeros(width)
    values = values.astype(np.float64)
    last_place = np.ldexp(1.0, np.frexp(values)[1] - digits) * (values != 0)
    variances = np.square(last_place / np.linalg.norm(values, axis=1, keepdims=True)).mean(axis=0) / 12
    return variances * (1 + np.sqrt(width / len(set(map(bytes, values))))) ** 2


def _digits(values: Real[np.ndarray, "n d"]) -> int | None:
    """Binary digits of bfloat16 or of float16, where it holds all the values."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
        half = single.astype(np.float16)
    if (single != values).any():
        return None
    if not (single.view(np.uint32) & 0xFFFF).any():
        return 8
    return 11 if (half == single).all() else None


def directions_to_keep(keep: int | None, rank: int, default: int) -> int:
    """`keep`, checked against the number of directions that the texts span; if None, `default` or all of them."""
    if rank == 0:
        raise UnavailableError("text_features are all the same: give texts that differ")
    if keep is None:
        return max(1, min(default, rank))
    whole_number(keep, "keep", 1)
    if keep > rank:
        raise ValueError(f"keep is {keep}: the texts span {rank} directions, give 1 to {rank} or more texts")
    return keep


def stored_rows(features: Real[Features, "n d"], name: str) -> Float64[np.ndarray, "n d"]:
    """`features` `(n, d)` as float64, checked as `unit_rows` does but with the lengths they have."""
    return np.asarray(checked_features(features, name), np.float64)


def weight_matrix(weight: Real[Features, "d width"], name: str) -> Float64[np.ndarray, "d width"]:
    """The weight of a tower's last linear map `(d, width)` as float64.

    Raises:
        TypeError, ValueError: no real numbers, or not two-dimensional or empty; `UnavailableError` for NaN or infinity.
    """
    matrix = np.asarray(real_array(weight, name, "(d, width)"), np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name} has shape {matrix.shape}: give the projection's weight, output × input")
    if not np.isfinite(matrix).all():
        raise UnavailableError(f"{name} holds NaN or infinity: load the weights again")
    return matrix
