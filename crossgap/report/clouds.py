"""The clouds of a cell as the page draws them: points on a grid, with the pairs among them."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crossgap.errors import CrossgapError
from crossgap.report.blocks import Block
from crossgap.report.results import Results
from crossgap.report.tables import present

COLUMNS = ("x", "y", "modality", "id")
GRID = 4095  # steps over the longer side, finer than a screen's pixels: two signs of six bits
# the end of a caption's id: its place, or `manifest.caption_id`'s
_CAPTION = re.compile(r"#(\d+|[0-9a-f]{8}(-\d+)?)$")
SIGNS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
UMAP = (
    "Unit-length features as UMAP lays them out, by cosine; a cross is a mean. Neighbours stay near, but how far apart "
    "two clouds lie here says nothing of the gap: its measures do. Point at one to see what belongs to it."
)
CAPTION = (
    "Unit-length features on the first two principal components of images and texts, on one scale; a cross is a mean. "
    "Distances in this plane are at most those in the full space. Point at one to see what belongs to it."
)


@dataclass
class Names:
    """What the clouds of a page are of, each once: items by their number, and lists of such numbers by theirs."""

    items: dict[str, int] = field(default_factory=dict)
    lists: dict[tuple[int, ...], int] = field(default_factory=dict)

    def list_of(self, names: list[str]) -> int:
        numbers = tuple(self.items.setdefault(name, len(self.items)) for name in names)
        return self.lists.setdefault(numbers, len(self.lists))


def clouds(cell: Results, names: Names) -> list[Block]:
    """The scatter of a cell; nothing where it has no points.

    A modality has `x` and `y`, whole numbers from 0 to `GRID`, two signs each, and `of`, the list of items that its
    points belong to.

    Args:
        names: of the items of the page so far; it grows.

    Raises CrossgapError if a column is missing or a coordinate is not finite.
    """
    rows = cell.rows("clouds", COLUMNS)
    if not rows:
        return []
    broken = [row["id"] for row in rows if not (present(row["x"]) and present(row["y"]))]
    if broken:
        raise CrossgapError(
            f"clouds: {len(broken)} of {len(rows)} points have no finite coordinates, the first is {broken[0]!r}; the "
            "features they come from need checking"
        )
    low = [min(row[axis] for row in rows) for axis in "xy"]
    span = max(max(row[axis] for row in rows) - start for axis, start in zip("xy", low, strict=True)) or 1
    made = {}
    for modality in dict.fromkeys(row["modality"] for row in rows):
        of = [row for row in rows if row["modality"] == modality]
        places = {
            axis: "".join(signs(round(GRID * (row[axis] - start) / span)) for row in of)
            for axis, start in zip("xy", low, strict=True)
        }
        made[str(modality)] = {**places, "of": names.list_of([_item(row) for row in of])}
    caption = UMAP if by_umap(cell) else CAPTION
    return [{"kind": "cloud", "caption": caption, "span": float(f"{span:.4g}"), "modalities": made}]


def _item(row: Mapping[str, Any]) -> str:
    """A point's id; of a text what that starts with: its image's, where ids are made as this project makes them."""
    return _CAPTION.sub("", str(row["id"])) if row["modality"] in ("text", "ovi") else str(row["id"])


def by_umap(cell: Results) -> bool:
    """Whether a cell's clouds lie as UMAP lays them out; else by principal components."""
    return cell.clouds is not None and "plane" in cell.clouds and "umap" in set(cell.clouds["plane"])


def signs(number: int) -> str:
    """A number up to `GRID` in two signs."""
    return SIGNS[number // 64] + SIGNS[number % 64]
