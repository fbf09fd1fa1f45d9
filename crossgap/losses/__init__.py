"""Losses on batches of unit rows `(n, d)` of torch, and `total`, their weighted sum by name.

To add one, write a module like `contrastive.py`, name its function below, and say in `weighted.total` what it takes.
"""

from typing import TYPE_CHECKING

from crossgap.lazy import when_used

if TYPE_CHECKING:
    from crossgap.losses.clip_refine import hybrid_distillation as hybrid_distillation
    from crossgap.losses.clip_refine import random_alignment as random_alignment
    from crossgap.losses.contrastive import clip as clip
    from crossgap.losses.contrastive import scaled_denominator as scaled_denominator
    from crossgap.losses.cyclip import cyclic_cross_modal as cyclic_cross_modal
    from crossgap.losses.cyclip import cyclic_in_modal as cyclic_in_modal
    from crossgap.losses.hypersphere import alignment as alignment
    from crossgap.losses.hypersphere import cross_uniformity as cross_uniformity
    from crossgap.losses.hypersphere import uniformity as uniformity
    from crossgap.losses.intra_modal import slip as slip
    from crossgap.losses.midpoints import centroid_uniformity as centroid_uniformity
    from crossgap.losses.sigmoid import siglip as siglip
    from crossgap.losses.weighted import total as total

_PUBLIC = {
    "clip": "crossgap.losses.contrastive",
    "uniformity": "crossgap.losses.hypersphere",
    "cross_uniformity": "crossgap.losses.hypersphere",
    "alignment": "crossgap.losses.hypersphere",
    "slip": "crossgap.losses.intra_modal",
    "cyclic_in_modal": "crossgap.losses.cyclip",
    "cyclic_cross_modal": "crossgap.losses.cyclip",
    "siglip": "crossgap.losses.sigmoid",
    "scaled_denominator": "crossgap.losses.contrastive",
    "centroid_uniformity": "crossgap.losses.midpoints",
    "random_alignment": "crossgap.losses.clip_refine",
    "hybrid_distillation": "crossgap.losses.clip_refine",
    "total": "crossgap.losses.weighted",
}
TERMS = tuple(name for name in _PUBLIC if name != "total")
SUMS = {
    "clip": ("clip",),
    "cua": ("clip", "uniformity", "alignment"),
    "cuaxu": ("clip", "uniformity", "alignment", "cross_uniformity"),
    "modgap": ("clip", "alignment", "centroid_uniformity"),
    "clip-refine": ("random_alignment", "hybrid_distillation"),
}
TEMPERED = frozenset({"clip", "scaled_denominator", "siglip"})  # terms that a training's temperature is of
__all__ = ["SUMS", "TEMPERED", "TERMS", *_PUBLIC]
__getattr__, __dir__ = when_used(__name__, _PUBLIC)
