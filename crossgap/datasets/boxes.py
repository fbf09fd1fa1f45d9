"""A boxes file: CSV in UTF-8 with the header image,left,upper,right,lower, in pixels of the image as it is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from crossgap.datasets.declared import DatasetError
from crossgap.datasets.image_files import slashes
from crossgap.datasets.images import inside
from crossgap.datasets.text_files import rows
from crossgap.errors import ImageError
from crossgap.prepared.manifest import corners

COLUMNS = ("image", "left", "upper", "right", "lower")


def read_boxes(file: Path, find: Callable[[str], list[str]]) -> dict[str, str]:
    """Path → the manifest's `box`.

    Args:
        find: a name relative to the root → the paths of the images that bear it.

    Raises:
        DatasetError: the file can't be read or is malformed, names an unknown image or one twice, or holds what is
            no box; names the line.
    """
    boxes: dict[str, str] = {}
    for line, (image, *numbers) in rows(file, "boxes", COLUMNS):
        paths = find(image)
        if len(paths) != 1:
            found = " or ".join(paths) or f"nothing under the root{slashes(image)}"
            raise DatasetError(f"{file} line {line}: {image!r} is {found}: name one image as it lies there")
        (path,) = paths
        if path in boxes:
            raise DatasetError(f"{file} line {line}: a second box of {image!r}: an image has one, remove it")
        try:
            boxes[path] = " ".join(map(repr, corners(" ".join(numbers))))
        except DatasetError as error:
            raise DatasetError(f"{file} line {line}: box of {image!r}: {error}") from None
    return boxes


def box_problem(path: str, size: tuple[int, int], box: object) -> str | None:
    """Why the manifest's `box` can't be cut out of an image of this size; None if it can, or if there is none."""
    if not isinstance(box, str):
        return None
    try:
        inside(path, size, corners(box))
    except ImageError as error:
        return error.problem
    return None
