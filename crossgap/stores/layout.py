"""Names in a feature store, shared by its reader (`store`, which describes the whole store) and `writing`."""

from __future__ import annotations

from crossgap.prepared import composed, judgements, transformations

FORMAT = "crossgap-features/1"
TABLES = {  # beside the groups: their columns
    "judgements": judgements.COLUMNS,
    "transformations": transformations.COLUMNS,
    "answers": transformations.ANSWERS,
    **{f"composed_{name}": columns for name, columns in composed.TABLES.items()},
}
ROLES = ("image", "text")  # of modalities: `crossgap.naming.roles`
PROJECTION = "projection"
COMPOSED = "composed"  # what composed queries ask by an inversion's tokens
# arrays whose every part is in the file: of others zarr leaves out those of zeros, or of empty strings
WHOLE = frozenset({"id", "features", "preprojection", "tokens", "snapshots", "snapshot_tokens", "weight"})
