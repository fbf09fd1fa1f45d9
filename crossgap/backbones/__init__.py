"""CLIP-style models behind one small interface."""

from crossgap.backbones.backbone import Backbone, BackboneError, Encoded
from crossgap.backbones.loading import load_backbone

__all__ = ["Backbone", "BackboneError", "Encoded", "load_backbone"]
