"""Flickr30k and Flickr8k by files of their authors (Young et al., TACL 2014; Hodosh et al., JAIR 2013) and Kaggle's."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from crossgap.datasets.declared import DatasetError, Flickr
from crossgap.datasets.readers.named import read_named
from crossgap.datasets.reading import Reading
from crossgap.datasets.text_files import delimiter_of, read_text, rows
from crossgap.errors import listed

_BAR = re.compile(r"(?P<image>[^|]+)\|\s*\d+\s*\|(?P<caption>.*)")
# one row of Flickr30k's results.csv
_BAR_MISSING = re.compile(r"(?P<image>[^|]+)\|\s*\d+\s+(?P<caption>[^|]*)")
_TOKEN = re.compile(r"(?P<image>[^#\t]+)#\d+\t(?P<caption>.*)")
_IMAGE = ".jpg"


def read(declaration: Flickr, _folder: Path) -> Reading:
    """Images with captions, those of the lists if there are any; captions in the file's order.

    The captions file is Flickr30k's `results.csv` (`image_name| comment_number| comment`; the row that lacks its last
    delimiter is mended), a file of tokens (`name.jpg#0`, tab, caption), or CSV with the header `image,caption`.

    Raises:
        DatasetError: a file is missing or malformed (names the line), an image is in two lists, or a list names an
            image that has no captions.
    """
    file = declaration.root / declaration.captions
    captions = defaultdict(list)
    for image, caption in _captions(file):
        captions[image].append(caption)
    if not captions:
        raise DatasetError(f"captions {file} is empty: download or unpack it again")
    splits = _splits(declaration, captions) if declaration.lists else dict.fromkeys(captions, "test")
    parts = defaultdict(list)
    for image, split in splits.items():
        parts[f"split {split}"].append(image)
    return read_named(declaration, {image: (splits[image], captions[image]) for image in splits}, parts)


def _captions(file: Path) -> Iterator[tuple[str, str]]:
    """Image and caption of every line."""
    # captions may hold other line breaks
    lines = read_text(file, "captions").replace("\r\n", "\n").split("\n")
    header = lines[0]
    if [name.strip() for name in header.split(delimiter_of(header))] == ["image", "caption"]:
        for _, (image, caption) in rows(file, "captions", ("image", "caption")):
            yield image, caption
        return
    bars = header.replace(" ", "") == "image_name|comment_number|comment"
    forms, form = (
        ((_BAR, _BAR_MISSING), "image| number| caption")
        if bars
        else ((_TOKEN,), "image#number, tab, caption")
    )
    for number, line in enumerate(lines[bars:], start=1 + bars):
        found = next(filter(None, (pattern.fullmatch(line) for pattern in forms)), None)
        if found:
            yield found["image"].strip(), found["caption"]
        elif line.strip():
            raise DatasetError(
                f"{file} line {number}: {line[:60]!r} is not `{form}`: mend it, or name another file"
            )


def _splits(declaration: Flickr, captions: dict[str, list[str]]) -> dict[str, str]:
    """Image → split, of the images that are listed, with or without their extension."""
    splits: dict[str, str] = {}
    for split, name in declaration.lists.items():
        file = declaration.root / name
        names = [
            line.strip() for line in read_text(file, f"list of split {split}").splitlines() if line.strip()
        ]
        images = [name if name.lower().endswith(_IMAGE) else name + _IMAGE for name in names]
        if not images:
            raise DatasetError(f"lists.{split}: {file} is empty: it needs an image a line")
        if unknown := [image for image in images if image not in captions]:
            raise DatasetError(
                f"lists.{split}: {len(unknown)} images of {file} have no captions in {declaration.captions} "
                f"({listed(unknown)}): these files are not of one set"
            )
        if twice := [image for image in images if splits.get(image, split) != split]:
            raise DatasetError(
                f"lists.{split}: {len(twice)} images of {file} are of split {splits[twice[0]]} too ({listed(twice)})"
            )
        splits |= dict.fromkeys(images, split)
    return splits
