"""Classifiers made from labelled features: class means, GDA, k nearest neighbours, logistic regression.

All take unit rows. Sources: GDA, A Hard-to-Beat Baseline for Training-Free CLIP-based Adaptation (Wang et al., ICLR
2024), with the covariance estimate of Kubokawa and Srivastava (2008); the others are the usual probes (Radford et al.
2021, appendix A; Caron et al. 2021).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from crossgap import fingerprint
from crossgap.arrays import (
    check_widths,
    cut_offs,
    item_names,
    label_array,
    real_number,
    unit_rows,
)
from crossgap.errors import UnavailableError, listed
from crossgap.metrics.classification import class_prototypes, class_sums
from crossgap.metrics.exact import exact_pair, exact_rows
from crossgap.metrics.near import Rows, error_of_products
from crossgap.metrics.neighbours import blocks, most_similar

if TYPE_CHECKING:
    from crossgap.arrays import Features, Labels

STRENGTHS = (1, 10, 100, 1000)  # C of logistic regressions, of which one is chosen
STEPS = 10_000
CLOSE, CONVERGED = 1e-5, 1e-8  # the largest entry of the gradient: while C is chosen, and at the end
TEXT_SCALE = 100.0  # CLIP's own at the end of its training, by which cosines are log-odds as GDA's scores are


class Linear(NamedTuple):
    """A classifier that scores unit rows x by x · weight + bias.

    Attributes:
        weights: `(c, d)`.
        bias: `(c,)`.
        classes: c names.
    """

    weights: np.ndarray
    bias: np.ndarray
    classes: list

    def predict(self, features: Features) -> np.ndarray:
        """The place of each row's class among `classes`, `(n,)`; the first of equal scores.

        Args:
            features: `(n, d)`, NumPy or torch.

        Raises:
            TypeError, ValueError: features that cannot be used, or of another width.
        """
        rows = exact_rows(features)
        check_widths(rows, self.weights, ("features", "weights"))
        return self.places(Rows(rows))

    def places(self, rows: Rows) -> np.ndarray:
        """As `predict`, of rows as of `exact_rows`.

        Scores in float32 decide all but near ties. They lie within e of those in float64: by `error_of_products`, of
        which Σ |terms| is at most ‖row‖ ‖weights‖ + |bias|. Where the second score is more than 2e below the first,
        that is the first in float64 too. Weights are scaled by a power of two, to have their largest entry near 1:
        what underflows then is far below e, and nothing overflows.
        """
        largest = max(np.abs(self.weights).max(), np.abs(self.bias).max())
        scale = np.ldexp(1.0, -np.frexp(largest)[1])
        weights, bias = scale * self.weights, scale * self.bias
        most = rows.lengths * np.linalg.norm(weights, axis=1).max() + np.abs(bias).max()
        margins = 2 * error_of_products(weights.shape[1] + 1) * most
        weights, bias = weights.astype(np.float32), bias.astype(np.float32)
        found = np.empty(len(rows), np.int64)
        for some in blocks(len(rows), len(bias)):
            scores = rows.near[some] @ weights.T
            scores += bias
            first = scores.argmax(axis=1)
            at = np.arange(len(first)), first
            greatest = scores[at].astype(np.float64)
            scores[at] = -np.inf
            unclear = np.flatnonzero(~(greatest - scores.max(axis=1) > margins[some]))
            exact = rows.exact[some][unclear] @ self.weights.T
            first[unclear] = (exact + self.bias).argmax(axis=1)
            found[some] = first
        return found

    def blended(self, other: Linear, share: float) -> Linear:
        """(1 − share) of these scores and `share` of another's, which knows these classes in any order and maybe more.

        Raises:
            ValueError: a share that is none, or (`UnavailableError`) a class that the other lacks.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share}: give 0 to 1")
        check_widths(self.weights, other.weights, ("weights", "weights to blend in"))
        at = {name: place for place, name in enumerate(other.classes)}
        if lacking := [name for name in self.classes if name not in at]:
            raise UnavailableError(f"no text of the classes {listed(lacking)}: add their prompts")
        order = [at[name] for name in self.classes]
        return Linear(
            (1 - share) * self.weights + share * other.weights[order],
            (1 - share) * self.bias + share * other.bias[order],
            self.classes,
        )

    def times(self, scale: float) -> Linear:
        """The same with all scores so many times as large."""
        return Linear(scale * self.weights, scale * self.bias, self.classes)


def class_means(features: Features, labels: Labels) -> Linear:
    """Cosines with the class means of unit rows, as of `classification.class_prototypes`."""
    means, classes = class_prototypes(features, labels)
    return Linear(exact_rows(means), np.zeros(len(means)), classes)


def gda(features: Features, labels: Labels) -> Linear:
    """Gaussian discriminant analysis with one covariance for all classes and equal priors.

    With m_k the plain mean of the unit rows of class k and S = Σ (x − m_y)(x − m_y)ᵀ over all n rows, Σ̂ = S/(n − 1) and
    P = d ((n − 1) Σ̂ + tr(Σ̂) I)⁻¹; the score is m_kᵀ P x − ½ m_kᵀ P m_k.

    Args:
        features: `(n, d)`, NumPy or torch.
        labels: `(n,)`, the class of each row.

    Raises:
        TypeError, ValueError: features or labels that cannot be used, or a row without a class; `UnavailableError`
            where no class has two items that differ.
    """
    rows, codes, classes = _labelled(features, labels)
    n, width = rows.shape
    means = class_sums(rows, codes) / np.bincount(codes)[:, None]
    apart = rows - means[codes]
    trace = np.square(apart).sum() / (n - 1) if n > 1 else 0.0
    if trace < np.finfo(float).eps:
        raise UnavailableError(
            "no class has two images that differ, so there is no covariance: give 2 or more"
        )
    weights = width * np.linalg.solve(apart.T @ apart + trace * np.eye(width), means.T).T
    return Linear(weights, -np.einsum("cd,cd->c", means, weights) / 2, classes)


def nearest_labels(queries: Features, features: Features, labels: Labels, ks: Sequence[int]) -> pd.DataFrame:
    """The class of most of the k nearest items by cosine; of classes with as many, that of the nearest of these items.

    Of equal similarities the first items count.

    Args:
        queries: `(q, d)`, NumPy or torch.
        features: `(n, d)`.
        labels: `(n,)`, the class of each of `features`.
        ks: numbers of neighbours.

    Returns:
        A row a query and a column a number of neighbours.

    Raises:
        TypeError, ValueError: features or labels that cannot be used, or a row without a class; `UnavailableError` for
            fewer rows than neighbours.
    """
    ks = cut_offs(ks, "ks")
    if not ks:
        raise ValueError("ks is empty: give several numbers of neighbours, such as (1, 5, 10)")
    most = max(ks)
    x, y = exact_pair(queries, features, ("queries", "features"))
    _, codes, classes = _labelled(features, labels)
    if len(y) < most:
        raise UnavailableError(f"{most} nearest of {len(y)} images: give at least {most}")
    found = np.empty((len(x), len(ks)), np.int64)
    for some, near in most_similar(Rows(x), Rows(y), most):
        of = codes[near]
        for place, k in enumerate(ks):
            votes = (of[:, :k, None] == of[:, None, :k]).sum(axis=2)
            found[some, place] = of[np.arange(len(of)), votes.argmax(axis=1)]
    return pd.DataFrame(np.asarray(classes, object)[found], columns=list(ks))


def logistic(features: Features, labels: Labels, strength: float, *, tolerance: float = CONVERGED) -> Linear:
    """Multinomial logistic regression with a free intercept, ½‖W‖² + C Σ loss, run until it has converged.

    Of two classes W is one row, the difference of theirs.

    Args:
        features: `(n, d)`, NumPy or torch.
        labels: `(n,)`, the class of each row.
        strength: C.
        tolerance: of the largest entry of the gradient.

    Raises:
        TypeError, ValueError: features or labels that cannot be used, a row without a class, or C not above 0;
            `UnavailableError` for one class, or if it did not converge.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    real_number(strength, "strength")
    if not strength > 0:
        raise ValueError(f"strength is {strength}: give a C above 0")
    rows, codes, classes = _labelled(features, labels)
    if len(classes) < 2:
        raise UnavailableError("the images are of one class: give two or more")
    model = LogisticRegression(C=strength, tol=tolerance, max_iter=STEPS)
    # NumPy's BLAS and SciPy's take turns here, and while one computes, the other's threads wait on its cores
    with threadpool_limits(1, "blas"), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(rows, codes)
    if any(issubclass(one.category, ConvergenceWarning) for one in said):
        raise UnavailableError(f"logistic regression with C {strength:g} did not converge")
    weights, bias = model.coef_, model.intercept_
    if len(classes) == 2:
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return Linear(weights, bias, classes)


def chosen_strength(features: Features, labels: Labels, ids: Labels) -> float:
    """C of `STRENGTHS` with which a half of the rows tells most of the other half's classes, both ways; the least of
    equals.

    The halves hold every class in equal shares, by a draw that depends on the ids alone.

    Args:
        features: `(n, d)`, NumPy or torch.
        labels: `(n,)`, the class of each row.
        ids: `(n,)`, unique.

    Raises:
        TypeError, ValueError: as `logistic`; `UnavailableError` too where no class has two items.
    """
    rows, codes, classes = _labelled(features, labels)
    keys = fingerprint.draw(item_names(ids, len(rows)), "half")
    table = pd.DataFrame({"code": codes, "key": keys}).sort_values("key", kind="stable")
    second = table.groupby("code").cumcount().sort_index().to_numpy() % 2 == 1
    if len(classes) < 2 or len(set(codes[second])) < 2:
        raise UnavailableError(
            "C is chosen by halves of the images: give two classes with two images or more"
        )
    right = dict.fromkeys(STRENGTHS, 0)
    for fitted in (second, ~second):
        for strength in STRENGTHS:
            model = logistic(rows[fitted], codes[fitted], strength, tolerance=CLOSE)
            told = np.asarray(model.classes)[model.predict(rows[~fitted])]
            right[strength] += int((told == codes[~fitted]).sum())
    return max(STRENGTHS, key=right.__getitem__)


def _labelled(features: Features, labels: Labels) -> tuple[np.ndarray, np.ndarray, list]:
    """Unit rows `(n, d)` in float64, their classes' places `(n,)`, and the classes in order of their first row."""
    rows = unit_rows(features, dtype=np.float64)
    codes, classes = pd.factorize(label_array(labels, len(rows), "labels"))
    if (missing := np.flatnonzero(codes < 0)).size:
        raise ValueError(f"rows {listed(missing)} have no class: label every row")
    return rows, codes, list(classes)
