"""Post-hoc corrections of features, the rivals of modality inversion: fitted without labels, one module each.

To add one, write a module like `centering.py` and name it in `RIVALS`. `crossgap.corrections.centering.fit(...)` fits
on arrays and gives a `Correction`; `fitted` fits every rival on what a cell of the pipeline has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from crossgap.corrections import (
    basic,
    centering,
    inverted_softmax,
    isoclip,
    nnn,
    pca_plus,
    pseudo_inverse,
    qb_norm,
    ridge,
    standardisation,
    text_span,
    whitening,
)
from crossgap.corrections.correction import Correction
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError, like


class Rival(Protocol):
    """What a module of a correction holds, beside its function `fit`, whose arguments are its own.

    Attributes:
        TITLE: its name in reports.
        SOURCE: the paper it comes from.
        REFERENCE: how it works, in one line.
    """

    TITLE: str
    SOURCE: str
    REFERENCE: str

    def fits(self, material: Material) -> Iterator[tuple[str, Correction | UnavailableError]]:
        """Variants by name, `<name>` or `<name>_<variant>`: fitted, or an `UnavailableError` that says what is missing.

        Raises:
            UnavailableError: no variant can be fitted.
        """
        ...


RIVALS: dict[str, Rival] = {
    "basic": basic,
    "centering": centering,
    "inverted_softmax": inverted_softmax,
    "isoclip": isoclip,
    "nnn": nnn,
    "pca_plus": pca_plus,
    "pseudo_inverse": pseudo_inverse,
    "qb_norm": qb_norm,
    "ridge": ridge,
    "standardisation": standardisation,
    "text_span": text_span,
    "whitening": whitening,
}
SCORING = ("inverted_softmax", "nnn", "qb_norm")  # rivals that change no feature and rank with a bias
OF_WEIGHTS = ("isoclip", "pseudo_inverse")  # rivals that are made of a backbone's weights alone
# rivals that are fitted on features
FITTED = tuple(name for name in RIVALS if name not in (*SCORING, *OF_WEIGHTS))
__all__ = [
    "FITTED",
    "OF_WEIGHTS",
    "RIVALS",
    "SCORING",
    "Correction",
    "Material",
    "Rival",
    "UnavailableError",
    "chosen",
    "fitted",
    "rival_of",
    *RIVALS,
]


def rival_of(variant: str) -> str:
    """The name of the rival that `variant` belongs to, wherever that was fitted (`centering@coco`).

    Raises:
        ValueError: it belongs to none.
    """
    fitted = variant.partition("@")[0]
    names = [name for name in RIVALS if fitted == name or fitted.startswith(f"{name}_")]
    if not names:
        raise ValueError(
            f"{variant!r} belongs to no correction{like(variant, RIVALS)}; the known ones are {', '.join(RIVALS)}"
        )
    return max(names, key=len)


def chosen(names: Iterable[str] | None = None) -> list[str]:
    """The rivals of these names, as they are given; all, if None.

    Raises:
        TypeError, ValueError: one string, or an unknown name.
    """
    if isinstance(names, str):
        raise TypeError(f"names is {names!r}: give a list, such as [{names!r}]")
    names = list(RIVALS if names is None else names)
    if unknown := [name for name in names if name not in RIVALS]:
        raise ValueError(
            f"no correction {', '.join(map(repr, unknown))}{like(unknown[0], RIVALS)}; "
            f"the known ones are {', '.join(RIVALS)}"
        )
    return names


def fitted(
    material: Material, names: Iterable[str] | None = None
) -> tuple[dict[str, Correction], dict[str, str]]:
    """Every variant of the rivals fitted on `material`, by name, and why the others are not possible.

    Args:
        material: what there is to fit on.
        names: of rivals; None for all.

    Raises:
        ValueError: an unknown name.
    """
    corrections: dict[str, Correction] = {}
    reasons: dict[str, str] = {}
    for name in chosen(names):
        try:
            for variant, found in RIVALS[name].fits(material):
                if isinstance(found, UnavailableError):
                    reasons[variant] = str(found)
                else:
                    corrections[variant] = found
        except (UnavailableError, np.linalg.LinAlgError) as reason:
            reasons[name] = str(reason)
    return corrections, reasons
