"""Samples of a container, each an image with its captions and label, or a text: what their readers share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from crossgap import manifest
from crossgap.arrays import listed
from crossgap.datasets.declared import Classified, DatasetError
from crossgap.datasets.reading import Reading, caption_ids, prompts, without_digests


class Sample(NamedTuple):
    """`path` is None for a text; a text's `captions` are itself."""

    id: str
    split: str
    path: str | None
    captions: Sequence[str] = ()
    label: str | None = None


def of_samples(
    declaration: Classified, samples: Iterable[Sample], named: Sequence[str] | None = None
) -> Reading:
    """A row a sample, then a row a caption, then the prompts of the images' classes.

    Args:
        named: the classes that the set itself names; those of no image have a prompt too.

    Raises:
        DatasetError: `class_names` has a label that the set lacks, or an image's class has no name.
    """
    rows, labels = [], []
    samples = list(samples)
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
    names = class_names(declaration, known, {*shown, *(named or ())} if shown else (), named is not None)
    frame = without_digests([*rows, *prompts(declaration.labelling, names, declaration.templates)])
    if known:
        labels += [label for label in sorted(names) for _ in declaration.templates]
        frame[manifest.LABEL + declaration.labelling] = pd.Series(labels, dtype=object)
    return Reading(frame, [])


def class_names(
    declaration: Classified, known: Iterable[str], prompted: Iterable[str], named: bool = False
) -> dict[str, str]:
    """Label → what prompts call it: as `class_names` says, else as `spoken`.

    Args:
        known: all labels of the set.
        prompted: those that get a prompt.
        named: the set itself names its classes, though it be by numbers.

    Raises:
        DatasetError: `class_names` has a label that the set lacks, or a label is a number without a name.
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


def spoken(declaration: Classified, labels: Iterable[str], named: bool = False) -> dict[str, str]:
    """Label → the label with blanks for underscores, sorted.

    Raises:
        DatasetError: one is a number, which neither the set (`named`) nor `class_names` names.
    """
    labels = sorted(labels)
    numbers = [label for label in labels if label.isdecimal() and label not in declaration.class_names]
    if numbers and not named:
        raise DatasetError(
            f"class_names: {len(numbers)} labels are numbers without a name ({listed(numbers)}): give each one, "
            f"such as {{'{numbers[0]}': zebra}}"
        )
    return {label: label.replace("_", " ") for label in labels}
