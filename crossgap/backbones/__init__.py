"""CLIP-style models behind one small interface."""

from crossgap.lazy import when_used

_PUBLIC = {
    "Backbone": "crossgap.backbones.backbone",
    "BackboneError": "crossgap.errors",
    "Encoded": "crossgap.backbones.backbone",
    "load_backbone": "crossgap.backbones.loading",
}
__all__ = list(_PUBLIC)
__getattr__, __dir__ = when_used(__name__, _PUBLIC)
