"""Measures of the gap between the two modalities."""

from crossgap.metrics.gap.measures import (
    alignment,
    centroid_distance,
    cross_uniformity,
    gap_metrics,
    linear_separability,
    matching_distance,
    relative_modality_gap,
    uniformity,
)
from crossgap.metrics.gap.shifts import gap_vector, moved, shifted
from crossgap.metrics.gap.spectrum import effective_rank, explained_variance

__all__ = [
    "alignment", "centroid_distance", "cross_uniformity", "effective_rank", "explained_variance", "gap_metrics",
    "gap_vector", "linear_separability", "matching_distance", "moved", "relative_modality_gap", "shifted",
    "uniformity",
]  # fmt: skip
