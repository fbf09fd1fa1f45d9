"""A prepared dataset's items as a person sees them: texts, and small pictures of the images."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
from PIL import Image

from crossgap import fingerprint
from crossgap.claims import MOST_PIXELS
from crossgap.datasets.image_files import read_bytes
from crossgap.datasets.images import crop, decode
from crossgap.errors import ImageError
from crossgap.prepared.manifest import BOX, corners

QUALITY = 60  # of WebP


class Sight:
    """Items of a manifest, by id.

    Args:
        manifest: validated.
        root: folder that its image paths are relative to.
        side: pixels of a picture's longer side.
    """

    def __init__(self, manifest: pd.DataFrame, root: str | Path, side: int) -> None:
        self.root, self.side = Path(root), side
        self._places = {name: place for place, name in enumerate(manifest["id"])}
        names = ("path", "text", "digest", *([BOX] if BOX in manifest else []))
        self._columns = {name: manifest[name].tolist() for name in names}

    def text(self, item: str) -> str | None:
        """The text of an item; None of an image, and of an item that isn't there."""
        return self._of("text", item)

    def picture(self, item: str) -> bytes | None:
        """A WebP of an image as the backbones are given it, cropped to its box; None of an item that is no image.

        Raises:
            ImageError: the file isn't there, is another than the manifest was made from, or no image.
            OSError: as `read_bytes`.
        """
        path = self._of("path", item)
        if path is None:
            return None
        content, box = read_bytes(self.root, path), self._of(BOX, item)
        if fingerprint.of_content(content) != self._of("digest", item):
            raise ImageError(path, "not the file that the manifest was made from")
        image = self._decoded(path, content, box).convert("RGB")
        image.thumbnail((self.side, self.side), Image.Resampling.LANCZOS)
        made = io.BytesIO()
        try:
            image.save(made, "WEBP", quality=QUALITY, method=4)
        except (KeyError, OSError) as error:
            raise ImageError(path, f"this Pillow writes no WebP: {error}") from None
        return made.getvalue()

    def _decoded(self, path: str, content: bytes, box: str | None) -> Image.Image:
        if box is not None:
            return crop(path, decode(path, content), corners(box))
        if content.startswith(b"\xff\xd8"):  # a JPEG is decoded no larger than it must be
            try:
                image = Image.open(io.BytesIO(content))
                if image.width * image.height <= MOST_PIXELS:
                    image.draft(None, (2 * self.side, 2 * self.side))
                    image.load()
                    return image
            except OSError:
                pass  # `decode` says what is wrong with it
        return decode(path, content)

    def _of(self, column: str, item: str) -> str | None:
        place = self._places.get(item)
        return None if place is None or column not in self._columns else self._columns[column][place]
