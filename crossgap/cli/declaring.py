"""A dataset's row of params.yaml, from what `crossgap init` is told of a folder of images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from crossgap.cli.splits import is_a_splits, query_and_gallery
from crossgap.errors import CrossgapError, like

EMBEDDED = ("nano", "world")  # a backbone and a dataset


def declared(
    images: Path | None, captions: Path | None, dataset: str | None
) -> tuple[str, dict[str, Any] | None]:
    """A dataset's name, and its row of params.yaml; None for one of the catalogue's.

    Raises:
        CrossgapError: naming the option: nothing is there, or its folders are neither classes nor splits of classes.
    """
    from crossgap.catalogue import entries

    if images is None:
        if captions is not None:
            raise CrossgapError("--captions: these are captions of images: give their folder as --images too")
        if dataset is not None and dataset not in entries.rows("datasets"):
            raise CrossgapError(
                f"--dataset: {dataset!r} is none that crossgap knows{like(dataset, entries.rows('datasets'))}, "
                "and there are no --images: give their folder, or one of those that `crossgap datasets` lists"
            )
        return dataset or EMBEDDED[1], None
    for option, path, is_one in (
        ("images", images, images.is_dir()),
        ("captions", captions, captions is None or captions.is_file()),
    ):
        if not is_one:
            raise CrossgapError(
                f"--{option}: there is no {'folder' if option == 'images' else 'file'} {path}"
            )
    name = dataset or "mine"
    root = images.resolve().as_posix()
    if captions is not None:
        retrieval = {"query": "test", "gallery": "test"}
        return name, {
            "layout": "captions",
            "root": root,
            "captions": captions.resolve().as_posix(),
            "retrieval": retrieval,
        }
    splits = _splits(images)
    found = query_and_gallery(splits) if splits else ("test", "test")
    if found is None:
        raise CrossgapError(
            f"--images: {images} has the folders {', '.join(splits)}, and their names don't tell which split asks and "
            "which is searched: name them query and gallery, or test and train"
        )
    query, gallery = found
    row: dict[str, Any] = {
        "layout": "imagefolder",
        "root": root,
        "retrieval": {"query": query, "gallery": gallery},
    }
    return name, row | ({"splits": splits} if splits else {})


def _splits(images: Path) -> list[str]:
    """The folders that are splits: those whose own folders have the images. None where classes lie in the root."""
    from crossgap.datasets import NAME

    below = sorted(
        path for path in images.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))
    )
    classes = [path.name for path in below if _has_images(path)]
    splits = [path.name for path in below if any(_has_images(one) for one in path.iterdir() if one.is_dir())]
    if classes and all(map(is_a_splits, classes)):
        raise CrossgapError(
            f"--images: {', '.join(classes)} of {images} are named like splits and have no classes: put images as "
            "SPLIT/CLASS/IMAGE, or give --captions"
        )
    if classes and splits:
        raise CrossgapError(
            f"--images: in {images}, {classes[0]} has images and {splits[0]} has folders of images: put all as "
            "CLASS/IMAGE or all as SPLIT/CLASS/IMAGE"
        )
    if not classes and not splits:
        raise CrossgapError(
            f"--images: {images} has no images as CLASS/IMAGE or SPLIT/CLASS/IMAGE: put them so, or give --captions"
        )
    if wrong := [name for name in splits if not re.fullmatch(NAME, name)]:
        raise CrossgapError(
            f"--images: the folder {wrong[0]!r} of {images} can be no split: name it by letters, digits, - and _, 100 "
            "at most, or move it elsewhere"
        )
    return splits


def _has_images(folder: Path) -> bool:
    from crossgap.datasets.image_files import is_image

    return any(is_image(path.name) for path in folder.iterdir())
