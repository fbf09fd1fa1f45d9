"""The rivals of modality inversion: corrections of features that are fitted without labels, one file each.

Every module here except `correction` and `material` is a rival; adding one is adding a file. It declares `TITLE`,
`SOURCE` and `REFERENCE`, a function of its own name that fits the correction on arrays and is found here as
`crossgap.corrections.<name>`, and `fits(material)`, which yields named variants: `<name>` or `<name>_<variant>` with
the correction, or with an `UnavailableError` that says what is missing. It may also raise that.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple

import numpy as np

from crossgap.corrections.correction import Correction
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError

_RIVALS = {
    name: import_module(f"{__name__}.{name}")
    for name in sorted(module.name for module in iter_modules(__path__))
    if not name.startswith("_") and name not in ("correction", "material")
}
# A module gives way to the function of its name.
globals().update({name: getattr(module, name) for name, module in _RIVALS.items()})
__all__ = [
    "Correction",
    "Material",
    "Rival",
    "UnavailableError",
    "chosen",
    "fitted",
    "known",
    "rival_of",
    *_RIVALS,
]


class Rival(NamedTuple):
    """What a rival is called, where it comes from, and how it works in one line."""

    title: str
    source: str
    how: str


def known() -> dict[str, Rival]:
    """All rivals by name."""
    return {name: Rival(module.TITLE, module.SOURCE, module.REFERENCE) for name, module in _RIVALS.items()}


def rival_of(variant: str) -> str:
    """The name of the rival that `variant` belongs to."""
    names = [name for name in _RIVALS if variant == name or variant.startswith(f"{name}_")]
    if not names:
        raise ValueError(f"{variant!r} belongs to no correction: the known ones are {', '.join(_RIVALS)}")
    return max(names, key=len)


def chosen(names: Iterable[str] | None = None) -> list[str]:
    """The rivals of these names, as they are given; all, if None.

    Raises:
        ValueError: an unknown name.
    """
    names = list(_RIVALS if names is None else names)
    if unknown := [name for name in names if name not in _RIVALS]:
        raise ValueError(
            f"no correction {', '.join(map(repr, unknown))}: the known ones are {', '.join(_RIVALS)}"
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
    names = chosen(names)
    corrections: dict[str, Correction] = {}
    reasons: dict[str, str] = {}
    for name in names:
        try:
            for variant, found in _RIVALS[name].fits(material):
                if isinstance(found, UnavailableError):
                    reasons[variant] = str(found)
                else:
                    corrections[variant] = found
        except (UnavailableError, np.linalg.LinAlgError) as reason:
            reasons[name] = str(reason)
    return corrections, reasons
