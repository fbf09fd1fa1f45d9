"""Whether two methods differ on the same queries: bootstrap intervals, paired permutation tests, Holm's correction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap.arrays import label_array, real_array, whole_number

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Real

    from crossgap.arrays import Features, Labels

RESAMPLES = 9999
LEVEL = 0.95  # of the intervals
ENTRIES_IN_A_BLOCK = 2**22
COUNTED_AT_ONCE = 2**16  # so that the counts lie in a cache
COLUMNS_AT_ONCE = 128  # so that the resamples' means of them lie in a cache


def paired(
    differences: Real[Features, "n k"],
    *,
    groups: Labels | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Mean differences of paired measurements with their uncertainty.

    The 95 % interval is the percentile bootstrap's over queries, the p-value that of the two-sided paired permutation
    test, in which the two methods change places query by query: the share of random sign flips whose mean is at least
    as far from 0, the data themselves counted among them (Smucker, Allan and Carterette, CIKM 2007). All columns share
    one set of resamples, and a column's result does not depend on the others.

    Queries that belong together, as the captions of one image, say less than as many others would: what is drawn, and
    what changes places, is a group (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).
    The mean stays that over the queries.

    Args:
        differences: `(n, k)`, of n queries by k comparisons, finite.
        groups: `(n,)`, a name for each query, equal for those that belong together; each by itself, if not given.
        resamples: of the bootstrap and of the test each; the smallest p-value is 1 / (resamples + 1).

    Returns:
        A row a comparison: `difference`, `low`, `high`, `p`; NaN throughout if there are no queries.

    Raises:
        TypeError, ValueError: another shape, values that are no finite numbers, or a query without a group; no
            resamples, or a seed that is no whole number.
    """
    differences = np.asarray(real_array(differences, "differences", "(n, k)"), np.float64)
    if differences.ndim != 2:
        raise ValueError(f"differences has shape {differences.shape}: give a row a query, `(n, k)`")
    if not np.isfinite(differences).all():
        raise ValueError(
            "differences holds NaN or infinity: leave out queries that a method has no value for"
        )
    whole_number(resamples, "resamples", 1)
    whole_number(seed, "seed")
    n, k = differences.shape
    codes = np.arange(n) if groups is None else _codes(groups, n)
    if n == 0:
        return pd.DataFrame(np.nan, index=range(k), columns=["difference", "low", "high", "p"])
    sizes = np.bincount(codes).astype(float)
    sums = differences
    if len(sizes) < n:
        sums = np.zeros((len(sizes), k))
        np.add.at(sums, codes, differences)
    bootstrap, permutation = np.random.default_rng(seed).spawn(2)
    cut = range(COLUMNS_AT_ONCE, k, COLUMNS_AT_ONCE)
    columns = [np.ascontiguousarray(part) for part in np.split(sums, cut, axis=1)]
    means = [np.empty((resamples, part.shape[1])) for part in columns]
    done = 0
    for counts in _counts(len(sums), resamples, bootstrap):
        drawn = (counts @ sizes)[:, None]  # queries
        for part, held in zip(columns, means, strict=True):
            held[done : done + len(counts)] = counts @ part / drawn
        done += len(counts)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.concatenate([np.quantile(held, ends, axis=0) for held in means], axis=1)
    observed = differences.mean(axis=0)
    slack = 1e-12 * np.abs(differences).mean(axis=0)  # sums in another order must not break ties
    least = np.split(np.abs(observed) - slack, cut)
    extreme = np.ones(k)
    for signs in _signs(len(sums), resamples, permutation):
        found = [
            (np.abs(signs @ part / n) >= bound).sum(axis=0)
            for part, bound in zip(columns, least, strict=True)
        ]
        extreme += np.concatenate(found)
    p = extreme / (resamples + 1)
    return pd.DataFrame({"difference": observed, "low": low, "high": high, "p": p})


def holm(p: Real[Features, " k"]) -> Float64[np.ndarray, " k"]:
    """P-values `(k,)` corrected for their number by Holm's step-down method (1979); NaN stay NaN and are not counted.

    Rejecting where the corrected value is below α keeps the chance of any false rejection below α.

    Raises:
        TypeError, ValueError: another shape, or values outside [0, 1] or that are no numbers.
    """
    p = np.asarray(real_array(p, "p", "(k,)"), np.float64)
    if p.ndim != 1:
        raise ValueError(f"p has shape {p.shape}: give one p-value a test, `(k,)`")
    if (bad := p[(p < 0) | (p > 1)]).size:
        raise ValueError(f"p holds {bad[0]:g}: a p-value lies between 0 and 1")
    counted = np.flatnonzero(~np.isnan(p))
    order = counted[np.argsort(p[counted], kind="stable")]
    corrected = np.full(len(p), np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else []
    return corrected


def _codes(groups: Labels, n: int) -> Int64[np.ndarray, " n"]:
    if np.shape(groups) != (n,):
        raise ValueError(f"groups has shape {np.shape(groups)}: give one a query, `({n},)`")
    codes = pd.factorize(label_array(groups, n, "groups"))[0]
    if (codes < 0).any():
        raise ValueError(f"groups lacks that of {(codes < 0).sum()} of {n} queries: give each one")
    return codes


def _counts(n: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each of n groups is drawn, `(block, n)`, in blocks of bootstrap resamples."""
    for block in _blocks(n, resamples):
        drawn, counts = rng.integers(0, n, (block, n)), np.empty((block, n))
        step = max(1, COUNTED_AT_ONCE // n)
        for start in range(0, block, step):
            some = drawn[start : start + step] + n * np.arange(min(step, block - start))[:, None]
            counts[start : start + step] = np.bincount(some.ravel(), minlength=some.size).reshape(some.shape)
        yield counts


def _signs(n: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Random signs `(block, n)`, in blocks of permutations."""
    for block in _blocks(n, resamples):
        yield rng.integers(0, 2, (block, n), dtype=np.int8) * 2.0 - 1


def _blocks(n: int, resamples: int) -> Iterator[int]:
    size = max(1, ENTRIES_IN_A_BLOCK // n)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
