"""Samples, each an image with captions and a label, or a text: what the readers of containers share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from crossgap.datasets.declared import Classified, DatasetError
from crossgap.datasets.labels import label_of, whole
from crossgap.datasets.reading import ManifestRow, Reading, caption_ids, lines, prompts, without_digests
from crossgap.errors import listed
from crossgap.prepared import manifest

_CODE = re.compile(r"[+-]?\d+(\.\d*)?|n\d{8}")  # a number, or an id of WordNet


class Sample(NamedTuple):
    """An image with its captions; or a text, whose `path` is None and which is its own only caption."""

    id: str
    split: str
    path: str | None
    captions: Sequence[str] = ()
    label: str | None = None


def of_samples(
    declaration: Classified, samples: Iterable[Sample], named: Mapping[str, str] | None = None
) -> Reading:
    """A row a sample, then a row a caption, then the prompts of the images' classes.

    Args:
        named: label → name of the classes that the set itself names; those of no image have a prompt too.

    Raises:
        DatasetError: `class_names` has a label that the set lacks, an image's class has no name, or classes of the set
            have one name or a blank one.
    """
    rows: list[ManifestRow] = []
    labels: list[str | None] = []
    samples, notes = in_lines(declaration, list(samples))
    if named is not None:
        named = dict(zip(_distinct(named), (name.strip() for name in named.values()), strict=True))
    written = {*declaration.class_names, *(named or ())}
    labels_of = [label_of(one.label, written) for one in samples]
    same = whole((label for label in labels_of if label is not None), written)
    samples = [
        one._replace(label=None if label is None else same[label])
        for one, label in zip(samples, labels_of, strict=True)
    ]
    for name, split, path, captions, label in samples:
        if path is None:
            rows.append((name, "text", split, None, captions[0], None, 0))
        else:
            rows.append((name, "image", split, path, None, name, 0))
        labels.append(label)
    for name, split, path, captions, _ in samples:
        if path is not None:
            named_captions = zip(caption_ids(name, list(captions)), captions, strict=True)
            rows += [
                (own, "text", split, None, text, name, k) for k, (own, text) in enumerate(named_captions)
            ]
    labels += [None] * (len(rows) - len(labels))
    shown = [sample.label for sample in samples if sample.path is not None and sample.label is not None]
    known = {sample.label for sample in samples if sample.label is not None} | set(named or ())
    names = class_names(declaration, known, {*shown, *(named or ())} if shown else (), named)
    frame = without_digests([*rows, *prompts(declaration.labelling, names, declaration.templates)])
    if known:
        labels += [label for label in sorted(names) for _ in declaration.templates]
        frame[manifest.LABEL + declaration.labelling] = pd.Series(labels, dtype=object)
    return Reading(frame, [], notes=notes)


def _distinct(named: Iterable[str]) -> list[str]:
    """Classes that a set itself names, without blanks around."""
    found = [label.strip() for label in named]
    if "" in found or len(set(found)) < len(found):
        again = next((label for label in found if found.count(label) > 1), "")
        what = f"two classes {again!r}" if again else "a class by a blank"
        raise DatasetError(
            f"the set names {what}, whose items can't be told apart: name its classes otherwise"
        )
    return found


def in_lines(declaration: Classified, samples: list[Sample]) -> tuple[list[Sample], tuple[str, ...]]:
    """The samples, with a caption a line where the declaration's `caption_lines` says so, and a note.

    Where it says nothing, lines are captions if every image has one text of several lines, and most as many: shards of
    CLIP_benchmark are so, while a line end within a caption is an exception in others.
    """
    asked = getattr(declaration, "caption_lines", None)
    notes: tuple[str, ...] = ()
    if asked is None:
        images = [sample for sample in samples if sample.path is not None and sample.captions]
        counts = Counter(len(lines(text)) for sample in images for text in sample.captions)
        ((common, number),) = counts.most_common(1) or [(0, 0)]
        whole = len(images) > 1 and counts.total() == len(images)
        asked = whole and min(counts) > 1 and number > len(images) / 2
        if asked:
            notes = (
                f"the texts of {len(images)} images have several lines each, {common} in {number} of them: a line was "
                "taken for a caption; declare `caption_lines: true` to say so, or `false` if a text is one caption",
            )
    if not asked:
        return samples, notes
    split = [
        one
        if one.path is None
        else one._replace(captions=[line for text in one.captions for line in lines(text)])
        for one in samples
    ]
    return split, notes


def class_names(
    declaration: Classified,
    known: Iterable[str],
    prompted: Iterable[str],
    named: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Label → what prompts call it: as `class_names` says, else as the set does, else as `spoken`.

    Args:
        known: all labels of the set.
        prompted: those that get a prompt.
        named: label → name, of a set that names its classes, though it be by numbers.

    Raises:
        DatasetError: `class_names` has a label that the set lacks, or a label is a number or an id of WordNet without a
            name.
    """
    check_class_names(declaration, {declaration.labelling: known})
    names = spoken(declaration, prompted, named)
    return {label: declaration.class_names.get(label, name) for label, name in names.items()}


def check_class_names(declaration: Classified, held: Mapping[str, Iterable[str]]) -> None:
    """Raises DatasetError if `class_names` has a label that no labelling has.

    Args:
        held: labelling → its labels.
    """
    known = {label for labels in held.values() for label in labels}
    if unknown := sorted(set(declaration.class_names) - known):
        raise DatasetError(
            f"class_names: no item is labelled {listed(unknown)}; labels: {listed(sorted(known)) or 'none'}"
        )


def spoken(
    declaration: Classified, labels: Iterable[str], named: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Label → what the set calls it, else itself, with blanks for underscores, sorted.

    Raises:
        DatasetError: one is a number or an id of WordNet, which neither the set (`named`) nor `class_names` names.
    """
    labels = sorted(labels)
    codes = [label for label in labels if _CODE.fullmatch(label) and label not in declaration.class_names]
    if codes and named is None:
        what = "ids of WordNet" if codes[0].startswith("n") else "numbers"
        raise DatasetError(
            f"class_names: {len(codes)} labels are {what} without a name ({listed(codes)}): give each one, "
            f"such as {{'{codes[0]}': zebra}}"
        )
    return {label: (named or {}).get(label, label).replace("_", " ") for label in labels}
