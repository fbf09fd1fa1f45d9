"""The names that a store is written and read by; `store` describes all that lies in one."""

from __future__ import annotations

from crossgap.prepared import transformations

FORMAT = "crossgap-features/1"
TABLES = {  # beside the groups: their columns
    "judgements": ("setting", "query", "item", "grade"),
    "transformations": transformations.COLUMNS,
    "answers": transformations.ANSWERS,
}
MODALITIES = ("image", "text")
PROJECTION = "projection"
