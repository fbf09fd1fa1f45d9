"""CIFAR-10 and CIFAR-100 (Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from crossgap.datasets.declared import Cifar, DatasetError
from crossgap.datasets.exporting import exporting, png
from crossgap.datasets.pickles import as_text, read_pickle
from crossgap.datasets.reading import ManifestRow, Reading, prompts, without_digests
from crossgap.errors import listed
from crossgap.prepared import manifest

SHAPE = (3, 32, 32)


class _Set(NamedTuple):
    """Labelling → the keys of its labels and of their names; split → files."""

    keys: Mapping[str, tuple[str, str]]
    files: Mapping[str, list[str]]


_SETS = {
    "batches.meta": _Set(
        {"class": ("labels", "label_names")},
        {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]},
    ),
    "meta": _Set(
        {
            "class": ("fine_labels", "fine_label_names"),
            "coarse": ("coarse_labels", "coarse_label_names"),
        },
        {"train": ["train"], "test": ["test"]},
    ),
}


def read(declaration: Cifar, folder: Path) -> Reading:
    """Images `<split>/<number>`, in the files' order, labelled by `class`, those of CIFAR-100 by `coarse` too.

    Raises:
        DatasetError: a file is missing, damaged, or holds something else, or `class_names` has an unknown label.
    """
    root = declaration.root
    meta = next((name for name in _SETS if (root / name).is_file()), None)
    if meta is None:
        raise DatasetError(
            f"root {root} has neither batches.meta (CIFAR-10) nor meta (CIFAR-100): unpack cifar-10-python.tar.gz or "
            "cifar-100-python.tar.gz, and name the folder in it"
        )
    keys, files = _SETS[meta]
    held = _mapping(root / meta)
    names = {labelling: _names(root / meta, held, key) for labelling, (_, key) in keys.items()}
    if unknown := sorted(set(declaration.class_names).difference(*names.values())):
        raise DatasetError(
            f"class_names: {root} has no class {listed(unknown)}; its classes are {listed(names['class'])}"
        )
    items: list[ManifestRow] = []
    labels: list[dict[str, str | None]] = []
    with exporting(folder) as add:
        for split, batches in files.items():
            rows = (row for batch in batches for row in _rows(root / batch, keys, names))
            for number, (pixels, label) in enumerate(rows):
                name = f"{split}/{number:06d}"
                items.append((name, "image", split, add(f"{name}.png", png(pixels)), None, name, 0))
                labels.append(label)
    for labelling, known in names.items():
        called = {name: declaration.class_names.get(name, name.replace("_", " ")) for name in known}
        items += prompts(labelling, called, declaration.templates)
        labels += [{labelling: name} for name in sorted(called) for _ in declaration.templates]
    frame = without_digests(items)
    for labelling in names:
        frame[manifest.LABEL + labelling] = pd.Series([row.get(labelling) for row in labels], dtype=object)
    return Reading(frame, [])


def _rows(
    file: Path, keys: Mapping[str, tuple[str, str]], names: Mapping[str, list[str]]
) -> Iterator[tuple[np.ndarray, dict[str, str | None]]]:
    """Pixels `(32, 32, 3)` and labels of every image of a batch, None for -1, which stands for unlabelled."""
    held = _mapping(file)
    pixels = np.asarray(held.get("data"))
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != np.prod(SHAPE):
        raise DatasetError(
            f"{file}: data is {pixels.dtype} {pixels.shape}, not uint8 (images, {np.prod(SHAPE)}): unpack it again"
        )
    labels = {labelling: np.asarray(held.get(key)) for labelling, (key, _) in keys.items()}
    for labelling, numbers in labels.items():
        right = numbers.shape == (len(pixels),) and numbers.dtype.kind in "iu"
        if not right or numbers.min(initial=0) < -1 or numbers.max(initial=0) >= len(names[labelling]):
            raise DatasetError(
                f"{file}: {keys[labelling][0]} are not {len(pixels)} numbers below {len(names[labelling])}, or -1: "
                "unpack it again"
            )
    for row, image in enumerate(pixels.reshape(-1, *SHAPE).transpose(0, 2, 3, 1)):
        found = {
            labelling: names[labelling][numbers[row]] if numbers[row] >= 0 else None
            for labelling, numbers in labels.items()
        }
        yield np.ascontiguousarray(image), found


def _mapping(file: Path) -> dict[str, Any]:
    held = as_text(read_pickle(file, "batch"))
    if not isinstance(held, dict):
        raise DatasetError(f"{file} holds a {type(held).__name__}, not CIFAR's dict: unpack it again")
    return held


def _names(file: Path, held: Mapping[str, Any], key: str) -> list[str]:
    names = held.get(key)
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise DatasetError(f"{file} has no list of names {key!r}: unpack it again")
    return names
