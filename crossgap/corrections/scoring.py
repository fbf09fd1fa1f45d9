"""Corrections that leave features as they are and rank with a bias of each gallery item, from a bank of queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from crossgap.arrays import real_number
from crossgap.corrections.correction import Correction
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError
from crossgap.metrics import hubness
from crossgap.metrics.retrieval.bias import Bias

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64, Real, Shaped

    from crossgap.arrays import Features


class Which(Protocol):
    """Which queries are ranked with the bias, `(n,)`, by the gallery's items that queries `(n,)` and the bank's `(b,)`
    find first.
    """

    def __call__(
        self, of_queries: Int64[np.ndarray, " n"], of_bank: Int64[np.ndarray, " b"], /
    ) -> Bool[np.ndarray, " n"]: ...


@dataclass(frozen=True, eq=False)
class Scoring:
    """The scoring hook of a correction.

    Attributes:
        rule: the bias of each item by its similarities to the bank, as of `hubness.of_bank`.
        banks: modality of the queries → `(b, d)`, other queries without labels, none of which is measured.
        which: whether a query is ranked with the bias; all are, if not given.
    """

    rule: hubness.OfScores
    banks: Mapping[str, Features]
    which: Which | None = None

    def __call__(
        self,
        queries: Real[Features, "n d"],
        gallery: Real[Features, "m d"],
        modality: str,
        *,
        rows: Shaped[np.ndarray, " rows"] | None = None,
        left_out: Int64[np.ndarray, " n"] | None = None,
        of_items: Float64[np.ndarray, " m"] | None = None,
        of_bank: Int64[np.ndarray, " b"] | None = None,
    ) -> Bias:
        """The bias by which a gallery is ranked.

        Args:
            queries: `(n, d)`.
            gallery: `(m, d)`.
            modality: of the queries.
            rows: the rows of the bank that are used, as a mask or as places; all, if not given.
            left_out: `(n,)`, the place of a gallery item that is no candidate for a query, -1 for none.
            of_items: `(m,)`, what `of_items` gives of these, where that is known.
            of_bank: `(b,)`, what `hubness.firsts` gives of the bank's rows, where that is known.

        Raises:
            UnavailableError: no bank of this modality, or none of its rows counts.
        """
        if of_items is None:
            of_items = self.of_items(gallery, modality, rows)
        if self.which is None:
            return Bias(np.ones(len(queries), bool), of_items)
        if of_bank is None:
            of_bank = hubness.firsts(self._bank(modality, rows), gallery)
        return Bias(self.which(hubness.firsts(queries, gallery, left_out), of_bank), of_items)

    def of_items(
        self,
        gallery: Real[Features, "m d"],
        modality: str,
        rows: Shaped[np.ndarray, " rows"] | None = None,
    ) -> Float64[np.ndarray, " m"]:
        """The bias of each item of a gallery `(m, d)`, one in every gallery. Arguments and errors as above."""
        return hubness.of_bank(gallery, self._bank(modality, rows), [self.rule])[0]

    def _bank(self, modality: str, rows: np.ndarray | None) -> Features:
        if modality not in self.banks:
            raise UnavailableError(f"no bank of {modality} queries")
        bank = self.banks[modality] if rows is None else self.banks[modality][rows]
        if not len(bank):
            raise UnavailableError(f"no {modality} query is left in the bank")
        return bank


def scored(
    rule: hubness.OfScores,
    banks: Mapping[str, Features],
    parameters: Mapping[str, Any],
    which: Which | None = None,
) -> Correction:
    """A correction that ranks by a rule and changes no feature.

    Raises:
        TypeError: banks that aren't by modality.
    """
    if not isinstance(banks, Mapping):
        raise TypeError(
            f'banks is a {type(banks).__name__}: give one a modality of queries, such as {{"image": …}}'
        )
    sizes = {modality: {"bank": len(bank)} for modality, bank in banks.items()}
    return Correction({}, {**parameters, **sizes}, scoring=Scoring(rule, banks, which))


def by_softmax(banks: Mapping[str, Features], beta: float, which: Which | None = None) -> Correction:
    """A correction by `hubness.by_softmax` with the inverse temperature β.

    Raises:
        TypeError, ValueError: banks that aren't by modality, or β out of range.
    """
    real_number(beta, "beta")
    if not 0 < beta < float("inf"):
        raise ValueError(f"beta is {beta}: give a number above 0")
    return scored(partial(hubness.by_softmax, beta=beta), banks, {"beta": beta}, which)


def banks(material: Material) -> Mapping[str, np.ndarray]:
    """The banks of a cell.

    Raises:
        UnavailableError: none.
    """
    if not material.banks:
        raise UnavailableError("no bank of queries: no other split than the queries' holds images or texts")
    return material.banks
