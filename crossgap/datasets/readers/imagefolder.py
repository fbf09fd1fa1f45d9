"""Labelled images in a folder a class."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crossgap.datasets.declared import DatasetError, ImageFolder
from crossgap.datasets.labels import label_of
from crossgap.datasets.paths import parts_of, without_images
from crossgap.datasets.readers import own
from crossgap.datasets.readers.samples import class_names
from crossgap.datasets.reading import Problem, Reading, prompts, without_digests
from crossgap.errors import listed
from crossgap.prepared import manifest


def read(declaration: ImageFolder, _folder: Path) -> Reading:
    return own.read(declaration, _of)


def _of(declaration: ImageFolder, ids: dict[str, str]) -> Reading:
    """A row for each image by path, then the class prompts by class and template; a folder named -1 means no class."""
    splits = declaration.splits
    layout = "<class>/<image>" if splits is None else "<split>/<class>/<image>"
    images, labels, problems = [], [], []
    unlabelled: list[str] = []
    for path, image in ids.items():
        parts = parts_of(path)
        if splits is not None and parts[0] not in splits:
            continue
        if len(parts) != layout.count("/") + 1:
            problem = f"not laid out as {layout}: move it, or mend `root` or `splits`"
            problems.append(Problem(image, path, problem))
            continue
        split = "test" if splits is None else parts[0]
        images.append((image, "image", split, path, None, image, 0))
        labels.append(label_of(parts[-2], declaration.class_names))
        if labels[-1] is None:
            unlabelled.append("/".join(parts[:-1]))

    _require_depth(declaration, [problem.item for problem in problems], {row[2] for row in images})
    classes = sorted({label for label in labels if label is not None})
    empty = sorted(set(splits or []) - {row[2] for row in images})
    if empty and not problems:
        raise DatasetError(f"splits: nothing in {', '.join(empty)} under {declaration.root}")
    names = class_names(declaration, classes, classes) if images else {}
    frame = without_digests([*images, *prompts(declaration.labelling, names, declaration.templates)])
    prompted = [name for name in classes for _ in declaration.templates]
    frame[manifest.LABEL + declaration.labelling] = pd.Series(labels + prompted, dtype=object)
    above = [""] if splits is None else [f"{split}/" for split in splits]
    folders = [f"{folder}{name}" for folder in above for name in _folders(declaration.root / folder)]
    notes = (*_without_class(unlabelled), *without_images(declaration.root, folders, ids))
    return Reading(frame, problems, notes=notes)


def _without_class(folders: list[str]) -> tuple[str, ...]:
    """A note for the user on folders whose names mean no class, one for each image in them; empty without any."""
    if not folders:
        return ()
    found = listed(sorted(set(folders)))
    return (
        f"{len(folders)} images have no class by the name of their folder ({found}): if it is one, rename it or name "
        "it in class_names",
    )


def _require_depth(declaration: ImageFolder, misplaced: list[str], found: set[str]) -> None:
    """Raise DatasetError where all images of the root, or of a split, lie one folder too deep.

    Args:
        misplaced: paths that are not laid out as they should be.
        found: splits that have others.
    """
    root, parts = declaration.root, [parts_of(path) for path in misplaced]
    if declaration.splits is None:
        tops = {path[0] for path in parts}
        if len(tops) == 1 and not found and all(len(path) == 3 for path in parts):
            (top,) = tops
            raise DatasetError(
                f"root {root}: all images lie one folder deeper, in {top}: give {root / top} as `root`, or "
                f"declare `splits: [{top}]`, if it is one"
            )
    for split in declaration.splits or ():
        inner = {path[1] for path in parts if path[0] == split and len(path) == 4}
        if len(inner) == 1 and split not in found:
            (folder,) = inner
            raise DatasetError(
                f"splits: the classes of {split} lie one folder deeper, in {split}/{folder}: move what is in "
                f"{root / split / folder} up into {root / split}"
            )


def _folders(root: Path) -> list[str]:
    there = root.iterdir() if root.is_dir() else ()
    return sorted(path.name for path in there if path.is_dir() and not path.name.startswith("."))
