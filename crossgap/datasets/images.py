"""Images: decoded, cropped, and checked file by file."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION

from crossgap.claims import MOST_PIXELS
from crossgap.errors import ImageError, of_machine


def decode(path: str, data: bytes, small: bool = False) -> Image.Image:
    """The image in a file's bytes, in the mode it is stored in: open_clip's transforms resize it so and convert it to
    RGB after.

    - Palette and 1-bit images are therefore resized to the nearest pixel, as open_clip does.
    - Transparency is dropped, of a palette too; the colour under it shows.
    - CMYK is converted without its profile; a JPEG of it is taken for inverted, as Adobe writes them.
    - An animation gives its first frame, a TIFF its first page.
    - EXIF orientation is not applied: open_clip does not.
    - 16 bits a channel keep their high byte, and so do a TIFF's 12 bits; open_clip would clip such greyscale to white.
    - 0 is black, even where a TIFF says that it is white.
    - 32 bits a channel, integers and floats, are refused.

    Args:
        path: of the file, for messages.
        small: whether a JPEG may come out at an eighth of its size.

    Raises:
        ImageError: it is empty, truncated or no image.
    """
    if not data:
        raise ImageError(path, "empty file (0 bytes)")
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # some libraries set it: half an image would pass for a whole one
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MOST_PIXELS:  # whatever limit of Pillow's a library has set
            raise Image.DecompressionBombError(
                f"{image.width} × {image.height} pixels, more than the {MOST_PIXELS} that are decoded: scale it down"
            )
        if small:
            image.draft(None, (1, 1))
        image.load()
    except UnidentifiedImageError:
        raise ImageError(path, "not an image that Pillow can read") from None
    except Image.DecompressionBombError as error:
        raise ImageError(path, f"too large: {error}") from None
    except Exception as error:  # damaged files bring almost any exception out of Pillow's plugins
        if of_machine(error):
            raise
        raise ImageError(path, f"truncated or damaged: {error}") from None
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _high_byte(image)
    if image.mode in ("I", "F"):
        raise ImageError(path, "32-bit pixels have no agreed range: convert it to 8 bits a channel")
    return image


def _high_byte(image: Image.Image) -> Image.Image:
    """Greyscale of 16 bits as one of 8; of a TIFF's 12 bits too, and turned round where its 0 is white."""
    said = getattr(image, "tag_v2", {})
    (bits,), white_is_zero = said.get(BITSPERSAMPLE, (16,)), said.get(PHOTOMETRIC_INTERPRETATION) == 0
    pixels = np.asarray(image) >> (bits - 8)
    return Image.fromarray((255 - pixels if white_is_zero else pixels).astype(np.uint8))


def crop(path: str, image: Image.Image, corners: tuple[float, float, float, float]) -> Image.Image:
    """The part of an image in a box `left, upper, right, lower`, in pixels; arguments and errors as for `inside`."""
    return image.crop(inside(path, image.size, corners))


def inside(
    path: str, size: tuple[int, int], corners: tuple[float, float, float, float]
) -> tuple[int, int, int, int]:
    """A box `left, upper, right, lower` in whole pixels of an image of this width and height.

    Sides are rounded to whole pixels, as Pillow does; those of ROxford's queries are fractions and may lie up to a
    pixel outside of the image.

    Raises:
        ImageError: the box leaves the image, or holds no whole pixel.
    """
    left, upper, right, lower = corners
    width, height = size
    if min(left, upper) < -1 or right > width + 1 or lower > height + 1:
        problem = f"not within the image's {width} × {height} pixels"
    else:
        left, upper = max(round(left), 0), max(round(upper), 0)
        right, lower = min(round(right), width), min(round(lower), height)
        if left < right and upper < lower:
            return left, upper, right, lower
        problem = "it holds no whole pixel"
    raise ImageError(path, f"box {' '.join(f'{side:g}' for side in corners)}: {problem}: mend the box")


class Check(NamedTuple):
    """Of an image's file: its BLAKE2b-128 in hexadecimal, what is wrong with it or None, and the image's size."""

    digest: str | None
    problem: str | None
    width: int | None = None
    height: int | None = None


def check_bytes(path: str, data: bytes, digest: str) -> Check:
    """All of the file is decoded, a JPEG at an eighth of its size."""
    try:
        decode(path, data, small=True)
    except ImageError as error:
        return Check(digest, error.problem)
    return Check(digest, None, *Image.open(io.BytesIO(data)).size)
