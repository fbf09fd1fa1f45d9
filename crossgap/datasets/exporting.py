"""Write images that are not files, such as those of a pickle, into one tar, so that a manifest can name them."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from crossgap.stores import temporary

FILE = "images.tar"
_LOSSLESS = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B"})


@contextmanager
def exporting(folder: Path) -> Iterator[Callable[[str, bytes], str]]:
    """A function that adds an image, by its name and bytes, to the folder's `images.tar` and gives its path there.

    The tar is there once it is whole; equal images, in the same order, give equal bytes.

    Raises:
        DiskFullError: there is no room for it.
    """
    tar = folder / FILE
    with temporary.named(tar) as beside, temporary.room_for(tar):
        with tarfile.open(beside, "w", format=tarfile.GNU_FORMAT) as archive:

            def add(name: str, data: bytes) -> str:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
                return f"{FILE}/{name}"

            yield add
        os.replace(beside, tar)


def png(image: Image.Image | np.ndarray) -> bytes:
    """An image, or uint8 pixels `(height, width, 3)`, as PNG; what PNG can't hold, CMYK for one, becomes RGB."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    data = io.BytesIO()
    (image if image.mode in _LOSSLESS else image.convert("RGB")).save(data, "PNG")
    return data.getvalue()
