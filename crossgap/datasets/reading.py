"""What a reader gives: the rows of a manifest, the ids of its items, and the problems of those that are left out."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from crossgap.datasets.paths import name_of
from crossgap.prepared import manifest
from crossgap.prepared.composed import Composed

ManifestRow = tuple[str, str, str, str | None, str | None, str | None, int]  # without its digest
SET_ASIDE_WITH_IMAGE = "set aside with its image"


class Problem(NamedTuple):
    """What is wrong with one item: `item` says where it is; `problem` begins with the kind of problem, then a colon."""

    id: str
    item: str
    problem: str


def kinds(problems: Iterable[str]) -> str:
    """How many problems there are of each kind, the most frequent first."""
    counts = Counter(problem.split(":")[0] for problem in problems)
    return ", ".join(f"{count} × {kind}" for kind, count in counts.most_common())


class Reading(NamedTuple):
    """What a reader gives.

    Attributes:
        frame: a manifest without digests, of the items that no problem sets aside.
        judgements: the table of a set that comes with judgements, as `crossgap.prepared.judgements.validate` takes it.
            Rows that name unknown items are set aside later.
        composed: composed queries, which may name images that are set aside later.
        notes: sentences on what was ignored or decided by default.
    """

    frame: pd.DataFrame
    problems: list[Problem]
    judgements: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()
    composed: Composed | None = None


class Listed(NamedTuple):
    """An image as a set's own lists name it: `path` relative to the root; `label` is None where it has none."""

    path: str
    split: str
    label: str | None


def labelled(
    images: Sequence[Listed], labelling: str, names: Mapping[str, str], templates: Sequence[str]
) -> Reading:
    """A row for each image by path, then the class prompts; the files are not yet looked for.

    Args:
        names: label → what prompts call it; classes of no image have a prompt too.
    """
    images = sorted(images)
    ids = image_ids(image.path for image in images)
    rows = [(ids[path], "image", split, path, None, ids[path], 0) for path, split, _ in images]
    frame = without_digests([*rows, *prompts(labelling, names, templates)])
    prompted = [label for label in sorted(names) for _ in templates]
    labels = [image.label for image in images] + prompted
    frame[manifest.LABEL + labelling] = pd.Series(labels, dtype=object)
    return Reading(frame, [])


def prompts(labelling: str, names: Mapping[str, str], templates: Sequence[str]) -> list[ManifestRow]:
    """The rows of class prompts, by label and template.

    Args:
        names: label → what prompts call it.
    """
    return [
        (
            f"{manifest.CLASSES}/{labelling}/{label}#{k}",
            "text",
            manifest.CLASSES,
            None,
            template.replace("{}", names[label]),
            None,
            k,
        )
        for label in sorted(names)
        for k, template in enumerate(templates)
    ]


def captioned(images: Mapping[str, tuple[str, Sequence[str]]]) -> pd.DataFrame:
    """A row for each image by path, then a row for each caption, whose order gives the rank.

    Args:
        images: path → split and captions.
    """
    ids = image_ids(sorted(images))
    rows: list[ManifestRow] = [
        (ids[path], "image", images[path][0], path, None, ids[path], 0) for path in ids
    ]
    for path, image in ids.items():
        split, texts = images[path]
        named = zip(caption_ids(image, texts), texts, strict=True)
        rows += [(name, "text", split, None, text, image, rank) for rank, (name, text) in enumerate(named)]
    return without_digests(rows)


def image_ids(paths: Iterable[str]) -> dict[str, str]:
    """Path → id, which is the path without its extension and without the `.tar` of its folders.

    Where two ids would be equal, or an id would be another image's path, as `1.jpg` is beside `1.jpg.png`, the
    extension is kept; where that is not enough, `.tar` too.
    """
    paths = list(paths)
    names = {path: (*_names(path), path) for path in paths}
    whole = {name for path in paths for name in names[path][1:]}
    level = {path: int(names[path][0] != names[path][1] and names[path][0] in whole) for path in paths}
    while True:
        bearers = defaultdict(list)
        for path in paths:
            bearers[names[path][level[path]]].append(path)
        rivals = [path for equal in bearers.values() if len(equal) > 1 for path in equal if level[path] < 2]
        if not rivals:
            return {path: names[path][level[path]] for path in paths}
        for path in rivals:
            level[path] += 1


def _names(path: str) -> tuple[str, str]:
    name = name_of(path)
    return os.path.splitext(name)[0], name


def caption_ids(image: str, texts: Sequence[str]) -> list[str]:
    met: Counter[str] = Counter()
    ids = []
    for text in texts:
        met[text] += 1
        ids.append(manifest.caption_id(image, text, met[text]))
    return ids


def with_image(name: str, text: str) -> Problem:
    return Problem(name, f"caption: {text}", SET_ASIDE_WITH_IMAGE)


def without_digests(rows: Sequence[ManifestRow]) -> pd.DataFrame:
    """Rows of the manifest's columns but for `digest`."""
    columns = [name for name in manifest.COLUMNS if name != "digest"]
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    return frame.astype({"rank": "int64"})


def capped(frame: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """At most `count` images with their captions, and documents that are texts alone.

    Those whose hashed ids come first, so that no order matters.
    """
    alone = frame["group"].fillna("").str.startswith(manifest.ALONE)
    images = [*frame.loc[frame["modality"] == "image", "id"], *frame.loc[alone, "group"].unique()]
    if count is None or count >= len(images):
        return frame
    kept = set(sorted(images, key=lambda name: hashlib.blake2b(name.encode()).digest())[:count])
    return frame[frame["group"].isna() | frame["group"].isin(kept)].reset_index(drop=True)


def lines(text: str) -> list[str]:
    """The lines of a text that aren't blank, stripped."""
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
