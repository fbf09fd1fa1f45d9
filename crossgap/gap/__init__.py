"""Measures of the gap between the two modalities."""

from crossgap.gap.measures import alignment, centroid_distance, gap_metrics, linear_separability, uniformity

__all__ = ["alignment", "centroid_distance", "gap_metrics", "linear_separability", "uniformity"]
