"""What tasks with inverted features are called.

`oti-image` is the optimised inversion's; `oti.distilled.<loss>.<source>-image` that of the φ that was distilled by this
loss on this dataset, in one forward pass, and `oti.warm.<loss>.<source>-image` that of the steps from there.
`image-image+centering@coco` is corrected by a fit on another dataset, or on the file that is called so.
"""

from __future__ import annotations

import re
from typing import NamedTuple

OTHERS = "others"  # behind the @ of a correction that was fitted on all other datasets together
_BY_PHI = re.compile(
    r"(oti|ovi)\.(distilled|warm)\.([a-z]+)\.([A-Za-z0-9_-]+?)(?=$|-(?:image|text|oti|ovi)(?:\+|$))"
)


class ByPhi(NamedTuple):
    """How φ inverts: `distilled` or `warm`; by which loss it was distilled, and on which dataset."""

    how: str
    loss: str
    source: str

    def words(self, method: str) -> str:
        """In place of `oti` or `ovi` in a task's name."""
        return ".".join((method, *self))


def by_phi(task: str) -> ByPhi | None:
    """How φ inverts a task's features; None where it doesn't."""
    found = _BY_PHI.search(task)
    return ByPhi(*found.groups()[1:]) if found else None


def plain(task: str) -> str:
    """The same task by optimisation: of `oti.warm.cosine.world-image`, `oti-image`."""
    return _BY_PHI.sub(r"\1", task)
