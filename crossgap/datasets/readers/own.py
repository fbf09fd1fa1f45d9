"""A user's own images, as they lie on the disk: what the layouts `captions` and `imagefolder` share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from crossgap.datasets.boxes import read_boxes
from crossgap.datasets.declared import Folder
from crossgap.datasets.paths import by_name, image_paths, is_unicode, left_out, name_of, not_followed, plain
from crossgap.datasets.reading import Problem, Reading, capped, image_ids
from crossgap.prepared import manifest

_Own = TypeVar("_Own", bound=Folder)


def read(declaration: _Own, reader: Callable[[_Own, dict[str, str]], Reading]) -> Reading:
    """The reading that a layout makes of the images, path → id, with their boxes, cut to `max_images`.

    Raises:
        DatasetError: the root, captions or boxes are missing or malformed, or don't have the declared layout.
    """
    links: list[str] = []
    others: list[str] = []
    paths = image_paths(declaration.root, links, others)
    readable = [path for path in paths if is_unicode(path)]
    problems = [
        Problem(ascii(path), ascii(path), "file name is not UTF-8") for path in paths if not is_unicode(path)
    ]
    of_layout = reader(declaration, image_ids(readable))
    frame, found, notes = of_layout.frame, of_layout.problems, of_layout.notes
    if declaration.boxes is not None:
        named = by_name(readable)
        boxes = read_boxes(
            declaration.boxes, lambda name: named.get(name_of(plain(name, declaration.root)), [])
        )
        frame[manifest.BOX] = frame["path"].map(boxes).astype(object)
    tables = {os.path.realpath(value) for _, value in declaration if isinstance(value, Path)}
    others = [
        path
        for path in others
        if path not in links and os.path.realpath(declaration.root / path) not in tables
    ]
    notes = (*not_followed(links), *left_out(declaration.root, others), *notes)
    return Reading(capped(frame, declaration.max_images), problems + found, notes=notes)
