"""What tasks are called, and which task another is compared with.

`oti-image` is the optimised inversion's; `oti.distilled.<loss>.<source>-image` that of the φ that was distilled by this
loss on this dataset, in one forward pass, and `oti.warm.<loss>.<source>-image` that of the steps from there. A task
with a correction is called after it: `image-image+centering`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_BY_PHI = re.compile(
    r"(oti|ovi)\.(distilled|warm)\.([a-z]+)\.([A-Za-z0-9_-]+?)(?=$|-(?:image|text|oti|ovi)(?:\+|$))"
)

_INTRA = {
    "retrieval": {
        "oti-image": "image-image", "oti-oti": "image-image", "ovi-text": "text-text", "ovi-ovi": "text-text",
    },
    "classification": {
        "oti-text": "image-text", "image-ovi": "image-text",
        "gda": "ncm", "knn_1": "ncm", "knn_5": "ncm", "logistic": "ncm",
    },
}  # fmt: skip


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


def baseline_of(family: str, task: str) -> str | None:
    """The task that another is compared with: the same without the correction, with native features, without text or by
    class means.
    """
    uncorrected, plus, _ = task.partition("+")
    if plus:
        return uncorrected
    if family == "classification":
        for ending in ("_text", "-gda"):
            if task.endswith(ending):
                return task.removesuffix(ending)
    return _INTRA.get(family, {}).get(plain(task))
