"""Corrections that leave features as they are and rank with a bias of each gallery item, from a bank of queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from crossgap.corrections.correction import Correction
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError
from crossgap.metrics.retrieval.bias import Bias

if TYPE_CHECKING:
    from jaxtyping import Int64, Real, Shaped

    from crossgap.arrays import Features


class Rule(Protocol):
    """How a bias is made, from the functions in `crossgap.metrics.hubness`."""

    def __call__(
        self,
        queries: Real[Features, "n d"],
        gallery: Real[Features, "m d"],
        bank: Real[Features, "b d"],
        left_out: Int64[np.ndarray, " n"] | None,
    ) -> Bias: ...


@dataclass(frozen=True, eq=False)
class Scoring:
    """The scoring hook of a correction.

    Attributes:
        rule: how the bias is made.
        banks: modality of the queries → `(b, d)`, other queries without labels, none of which is measured.
    """

    rule: Rule
    banks: Mapping[str, Features]

    def __call__(
        self,
        queries: Real[Features, "n d"],
        gallery: Real[Features, "m d"],
        modality: str,
        *,
        rows: Shaped[np.ndarray, " rows"] | None = None,
        left_out: Int64[np.ndarray, " n"] | None = None,
    ) -> Bias:
        """The bias by which a gallery is ranked.

        Args:
            queries: `(n, d)`.
            gallery: `(m, d)`.
            modality: of the queries.
            rows: the rows of the bank that are used, as a mask or as places; all, if not given.
            left_out: `(n,)`, the place of a gallery item that is no candidate for a query, -1 for none.

        Raises:
            UnavailableError: no bank of this modality, or none of its rows counts.
        """
        if modality not in self.banks:
            raise UnavailableError(f"no bank of {modality} queries")
        bank = self.banks[modality]
        if rows is not None:
            bank = bank[rows]
        if not len(bank):
            raise UnavailableError(f"no {modality} query is left in the bank")
        return self.rule(queries, gallery, bank, left_out)


def scored(rule: Rule, banks: Mapping[str, Features], parameters: Mapping[str, Any]) -> Correction:
    """A correction that ranks by a rule and changes no feature."""
    sizes = {modality: {"bank": len(bank)} for modality, bank in banks.items()}
    return Correction({}, {**parameters, **sizes}, scoring=Scoring(rule, banks))


def banks(material: Material) -> Mapping[str, np.ndarray]:
    """The banks of a cell.

    Raises:
        UnavailableError: none.
    """
    if not material.banks:
        raise UnavailableError("no bank of queries: no other split than the queries' holds images or texts")
    return material.banks
