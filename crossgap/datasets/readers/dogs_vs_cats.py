"""Dogs vs Cats of Kaggle (Elson et al., Asirra, CCS 2007): images called by their class."""

from __future__ import annotations

import re
from pathlib import Path

from crossgap.datasets.declared import DatasetError, DogsVsCats
from crossgap.datasets.paths import image_paths, require_flat
from crossgap.datasets.readers.lists import reading, require
from crossgap.datasets.reading import Listed, Reading
from crossgap.errors import listed

FOLDER = "train"
_NAME = re.compile(r"(cat|dog)\.\d+\.jpg")


def read(declaration: DogsVsCats, _folder: Path) -> Reading:
    """Images of `train`; Kaggle's `test1` has no labels.

    Raises:
        DatasetError: the folder is missing or has images that are called otherwise, or what
            `crossgap.datasets.readers.lists.reading` raises.
    """
    paths = image_paths(require(declaration.root, FOLDER, "unpack train.zip there, or mend `root`"))
    if (declaration.root / FOLDER / FOLDER).is_dir():
        require_flat(declaration.root, (f"{FOLDER}/{Path(path).name}" for path in paths))
    if strange := [path for path in paths if not _NAME.fullmatch(path)]:
        raise DatasetError(
            f"{len(strange)} of {len(paths)} images of {declaration.root / FOLDER} are not called as cat.0.jpg or "
            f"dog.0.jpg are ({listed(strange)}): images in folders a class are layout `imagefolder`"
        )
    images = [Listed(f"{FOLDER}/{path}", FOLDER, path.split(".")[0]) for path in paths]
    return reading(declaration, images, {"cat": "cat", "dog": "dog"})
