"""What tasks are called, which task another is compared with, and which difference to it is called significant.

`oti-image` is the optimised inversion's; `oti.distilled.<loss>.<source>-image` that of the φ that was distilled by this
loss on this dataset, in one forward pass, and `oti.warm.<loss>.<source>-image` that of the steps from there. A task
with a correction is called after it: `image-image+centering`; `image-image+centering@coco` is corrected by a fit on
another dataset, or on the file that is called so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

ALPHA = 0.05  # a difference is called significant if its corrected p-value is below
OTHERS = "others"  # behind the @ of a correction that was fitted on all other datasets together
_BY_PHI = re.compile(
    r"(oti|ovi)\.(distilled|warm)\.([a-z]+)\.([A-Za-z0-9_-]+?)(?=$|-(?:image|text|oti|ovi)(?:\+|$))"
)

_INTRA = {
    "composed": {
        "image": "sum", "text": "sum", "product": "sum", "harris": "sum", "expansion": "harris", "oti-template": "sum",
    },
    "retrieval": {
        "oti-image": "image-image", "oti-oti": "image-image", "ovi-text": "text-text", "ovi-ovi": "text-text",
    },
    "classification": {
        "oti-text": "image-text", "image-ovi": "image-text",
        "gda": "ncm", "knn_1": "ncm", "knn_5": "ncm", "logistic": "ncm",
    },
}  # fmt: skip
_WORD = r"(?<![A-Za-z0-9+])({})(s?)(?![A-Za-z0-9])"  # behind a + stands a correction, text_span for one
_ROLE = re.compile(_WORD.format("image|text"))
MODALITIES = {"image": "image", "text": "text"}  # role → name, where an import names no others
MODALITY = r"[a-z][a-z0-9]*"  # one word: tasks join them with -, measures with _
_TAKEN = (
    "oti", "ovi", "images", "texts", "judgements", "transformations", "answers", "projection", "composed",
    # parts of the names of tasks and of measures of the gap and of mixed search, which would be taken for the modality
    "alignment", "centroid", "class", "corpus", "covariance", "cross", "distance", "distractors", "effective",
    "expansion", "first", "frechet", "fused", "gap", "gda", "harris", "imr", "jaccard", "joint", "knn", "linear",
    "logistic", "matching", "mean", "median", "modality", "nas", "ncm", "nearest", "order", "other", "product",
    "rank", "recall", "relative", "search", "separability", "shot", "silhouette", "sum", "template", "tmr", "trace",
    "uniformity",
)  # fmt: skip


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


def with_correction(task: str, correction: str | None) -> str:
    """A task as it is called with a correction, or without one."""
    return f"{task}+{correction}" if correction else task


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


def roles(names: Iterable[str]) -> dict[str, str]:
    """Role → name of at most two modalities, in the order in which they are met.

    A store has two roles, and so have all measures: "image", whose items are themselves, and "text", several of which
    may belong to one of these. Images and texts have their own; another modality takes the one that is free.

    Raises:
        ValueError: more than two, or a name that can't be one.
    """
    met = list(dict.fromkeys(names))
    if wrong := [name for name in met if not re.fullmatch(MODALITY, name) or name in _TAKEN]:
        raise ValueError(
            f"no modality can be called {wrong[0]!r}: use one word of small letters and digits that is no part of a "
            "task's or measure's name"
        )
    if len(met) > 2:
        raise ValueError(
            f"{', '.join(met)} are {len(met)} modalities, and two are compared: import two at a time"
        )
    found = {name: name for name in met if name in MODALITIES}
    for name in met:
        if name not in MODALITIES:
            found[next(role for role in MODALITIES if role not in found)] = name
    return MODALITIES | found


def called(words: str, modalities: Mapping[str, str]) -> str:
    """A name or a sentence with the names of modalities in place of their roles: of `image-text`, `protein-text`."""
    return _ROLE.sub(lambda found: modalities[found[1]] + found[2], words)


def group_called(group: str, modalities: Mapping[str, str]) -> str:
    """A store's group `<role>/<split>` with the name of its modality; the split stays, whatever it is called."""
    role, _, split = group.partition("/")
    return f"{modalities[role]}/{split}"


def in_roles(words: str, modalities: Mapping[str, str]) -> str:
    """A name with the roles in place of their modalities' names: what `called` was given."""
    back = {name: role for role, name in modalities.items() if name != role}
    if not back:
        return words
    return re.sub(_WORD.format("|".join(back)), lambda found: back[found[1]] + found[2], words)


def parts_of(key: str) -> tuple[str, str, str, str]:
    """Family, task, relevance and metric of a metric's key; each is empty where the key has none."""
    family, _, rest = key.partition("/")
    task, _, rest = rest.partition("/")
    relevance, _, metric = rest.rpartition("/")
    return family, task, relevance, metric


def key_called(key: str, modalities: Mapping[str, str], back: bool = False) -> str:
    """A metric's key `<family>/<task>/…` by the names of modalities, or `back` by their roles; labellings stay."""
    change = in_roles if back else called
    family, *rest = key.split("/")
    places = {0, len(rest) - 1} if family == "mixed" else {0}
    return "/".join(
        [family, *(change(part, modalities) if i in places else part for i, part in enumerate(rest))]
    )


def number(value: float) -> str:
    """A setting's number as names have it: with all its digits, a whole one without a point."""
    return f"{value}".removesuffix(".0")
