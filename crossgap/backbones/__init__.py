"""CLIP-style models behind one small interface."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "Backbone": "crossgap.backbones.backbone",
    "BackboneError": "crossgap.errors",
    "Encoded": "crossgap.backbones.backbone",
    "load_backbone": "crossgap.backbones.loading",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    # imported when first used: `crossgap.backbones.towers` costs neither torch nor open_clip
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
