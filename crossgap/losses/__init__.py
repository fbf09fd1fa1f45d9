"""Losses on batches of unit rows `(n, d)` of torch, one file each.

`clip(images, texts, temperature)`, `uniformity(x)`, `cross_uniformity(images, texts)`, `alignment(images, texts)`,
`slip(first, second, temperature=0.1)`, `cyclic_in_modal(images, texts)`, `cyclic_cross_modal(images, texts)`,
`siglip(images, texts, temperature, bias)`, and `total`, their weighted sum by name.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

TERMS = (
    "clip",
    "uniformity",
    "cross_uniformity",
    "alignment",
    "slip",
    "cyclic_in_modal",
    "cyclic_cross_modal",
    "siglip",
)
SUMS = {
    "clip": ("clip",),
    "cua": ("clip", "uniformity", "alignment"),
    "cuaxu": ("clip", "uniformity", "alignment", "cross_uniformity"),
}
_PUBLIC = {
    "clip": "crossgap.losses.clip",
    "uniformity": "crossgap.losses.uniformity",
    "cross_uniformity": "crossgap.losses.cross_uniformity",
    "alignment": "crossgap.losses.alignment",
    "slip": "crossgap.losses.slip",
    "cyclic_in_modal": "crossgap.losses.cyclip",
    "cyclic_cross_modal": "crossgap.losses.cyclip",
    "siglip": "crossgap.losses.siglip",
    "total": "crossgap.losses.total",
}
__all__ = ["SUMS", "TERMS", *_PUBLIC]


def __getattr__(name: str) -> Any:
    # imported when first used: the names above cost no torch
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Functions(ModuleType):
    """A package in which a file's function isn't hidden by the file, which bears its name, once that is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Functions
