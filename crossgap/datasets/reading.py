"""What readers share: what they give, ids of images and captions, rows of a manifest."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from crossgap.datasets.declared.base import DatasetError
from crossgap.datasets.images import EXTENSIONS, ImageError, list_images
from crossgap.errors import listed
from crossgap.prepared import manifest

ManifestRow = tuple[str, str, str, str | None, str | None, str | None, int]  # without its digest
SET_ASIDE_WITH_IMAGE = "set aside with its image"
_TRIED = 3  # of a folder's images, when they are looked for elsewhere


class Problem(NamedTuple):
    """What is wrong with one item: `item` is where to find it; `problem` up to a colon is the kind."""

    id: str
    item: str
    problem: str


class Reading(NamedTuple):
    """What a reader gives.

    Attributes:
        frame: a manifest without digests, of the items that no problem sets aside.
        judgements: a table that `crossgap.prepared.judgements.validate` takes, of a set that comes with one; what
            names items that there are not is set aside later.
        notes: sentences on what was left alone or decided without being asked.
    """

    frame: pd.DataFrame
    problems: list[Problem]
    judgements: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()


class Listed(NamedTuple):
    """An image as a set's own lists name it: `path` relative to the root; `label` is None where it has none."""

    path: str
    split: str
    label: str | None


def labelled(
    images: Sequence[Listed], labelling: str, names: Mapping[str, str], templates: Sequence[str]
) -> Reading:
    """A row an image by path, then the class prompts; images are not yet looked for.

    Args:
        names: label → what prompts call it; classes of no image have a prompt too.
    """
    images = sorted(images)
    ids = image_ids(image.path for image in images)
    rows = [(ids[path], "image", split, path, None, ids[path], 0) for path, split, _ in images]
    frame = without_digests([*rows, *prompts(labelling, names, templates)])
    prompted = [label for label in sorted(names) for _ in templates]
    labels = [image.label for image in images] + prompted
    frame[manifest.LABEL + labelling] = pd.Series(labels, dtype=object)
    return Reading(frame, [])


def prompts(labelling: str, names: Mapping[str, str], templates: Sequence[str]) -> list[ManifestRow]:
    """The rows of class prompts, by label and template.

    Args:
        names: label → what prompts call it.
    """
    return [
        (
            f"{manifest.CLASSES}/{labelling}/{label}#{k}",
            "text",
            manifest.CLASSES,
            None,
            template.replace("{}", names[label]),
            None,
            k,
        )
        for label in sorted(names)
        for k, template in enumerate(templates)
    ]


def captioned(images: Mapping[str, tuple[str, Sequence[str]]]) -> pd.DataFrame:
    """A row an image by path, then a row a caption, whose order gives the rank.

    Args:
        images: path → split and captions.
    """
    ids = image_ids(sorted(images))
    rows: list[ManifestRow] = [
        (ids[path], "image", images[path][0], path, None, ids[path], 0) for path in ids
    ]
    for path, image in ids.items():
        split, texts = images[path]
        named = zip(caption_ids(image, texts), texts, strict=True)
        rows += [(name, "text", split, None, text, image, rank) for rank, (name, text) in enumerate(named)]
    return without_digests(rows)


def image_paths(root: Path, passed_by: list[str] | None = None) -> list[str]:
    """`list_images` of a declared root.

    Raises:
        DatasetError: it does not exist, holds no images, or a tar of it is damaged.
    """
    try:
        paths = list_images(root, passed_by)
    except FileNotFoundError:
        raise DatasetError(f"root {root} does not exist: paths start at the project's root") from None
    except ImageError as error:
        raise DatasetError(str(error)) from None
    if not paths:
        where = f"folders or uncompressed tars and end in {', '.join(sorted(EXTENSIONS))}"
        raise DatasetError(f"no images under {root}: they lie in {where}")
    return paths


def image_ids(paths: Iterable[str]) -> dict[str, str]:
    """Path → id: the path without its extension and with tars as folders; more of the path among equals, and where the
    short one is another image's path, as `1.jpg` is beside `1.jpg.png`.
    """
    paths = list(paths)
    names = {path: (*_names(path), path) for path in paths}
    whole = {name for path in paths for name in names[path][1:]}
    level = {path: int(names[path][0] != names[path][1] and names[path][0] in whole) for path in paths}
    while True:
        bearers = defaultdict(list)
        for path in paths:
            bearers[names[path][level[path]]].append(path)
        rivals = [path for equal in bearers.values() if len(equal) > 1 for path in equal if level[path] < 2]
        if not rivals:
            return {path: names[path][level[path]] for path in paths}
        for path in rivals:
            level[path] += 1


def not_followed(links: Sequence[str]) -> tuple[str, ...]:
    """A note on links that `image_paths` passed by."""
    if not links:
        return ()
    found = listed(sorted(links))
    return (
        f"{len(links)} links lead nowhere or to a folder that they lie in, and are not followed ({found})",
    )


def plain(path: str, root: Path) -> str:
    """A path as a manifest has it, of one as people write it: `./a//1.jpg`, `a/../1.jpg`, or from `/` to a file under
    the root. One that leaves the root, or goes up from a link, stays as it is.
    """
    if path.startswith("/"):
        try:
            path = PurePosixPath(path).relative_to(root.absolute().as_posix()).as_posix()
        except ValueError:
            return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts or (root / "/".join(parts)).is_symlink():
                return path
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def one_file(root: Path, paths: Sequence[str]) -> list[str]:
    """The paths, one of those that are one file by links: that which no link leads to, if there is one."""
    if len(paths) < 2:
        return list(paths)
    files: dict[str, str] = {}
    base = os.path.realpath(root)
    for path in paths:
        real = os.path.realpath(root / path)
        if real not in files or real == os.path.join(base, path):
            files[real] = path
    return list(files.values())


UNLABELLED = re.compile(r"-1(\.0*)?")
_WHOLE = re.compile(r"([+-]?\d+)(\.0*)?")


def whole(labels: Iterable[str], named: Container[str] = ()) -> dict[str, str]:
    """Label → what it is, for all labels of a labelling: 1.0 is 1 where every one is a whole number.

    So tools write whole numbers that have gaps among them. Among words, or other numbers, 1.0 is a name, a version's
    say.

    Args:
        labels: stripped, blank ones too, which stay so.
        named: labels that the declaration names, by `class_names`: where it names all as they are written, they stay.
    """
    held = set(labels)
    numbers = {label: match[1] for label in held if (match := _WHOLE.fullmatch(label))}
    written = all(label in named for label, number in numbers.items() if label != number)
    if written or len(numbers) < len(held - {""}):
        return {label: label for label in held}
    return {label: numbers.get(label, label) for label in held}


def label_of(value: object, named: Container[str] = ()) -> str | None:
    """A label as text, None for a blank one and for -1, which stands for unlabelled; 3.0 is 3.

    Args:
        named: labels that the declaration names, by `class_names`: a -1 among them is a class.

    Raises:
        DatasetError: it is neither text nor a whole number.
    """
    if value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int):
        raise DatasetError(f"{value!r} is no class: a class is text or a whole number")
    text = str(value).strip()
    unlabelled = UNLABELLED.fullmatch(text) and text not in named and text.partition(".")[0] not in named
    return None if not text or unlabelled else text


def _names(path: str) -> tuple[str, str]:
    name = name_of(path)
    return os.path.splitext(name)[0], name


def name_of(path: str) -> str:
    return "/".join(parts_of(path))


def by_name(paths: Iterable[str]) -> dict[str, list[str]]:
    named = defaultdict(list)
    for path in paths:
        named[name_of(path)].append(path)
    return named


def parts_of(path: str) -> list[str]:
    """A path's folders, tars among them, and file name, in Unicode's composed form: macOS decomposes."""
    *folders, name = unicodedata.normalize("NFC", path).split("/")
    return [*(part[:-4] if part.lower().endswith(".tar") else part for part in folders), name]


def caption_ids(image: str, texts: Sequence[str]) -> list[str]:
    met: Counter[str] = Counter()
    ids = []
    for text in texts:
        met[text] += 1
        ids.append(manifest.caption_id(image, text, met[text]))
    return ids


def lines(text: str) -> list[str]:
    """The lines of a text that aren't blank, stripped."""
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def with_image(name: str, text: str) -> Problem:
    return Problem(name, f"caption: {text}", SET_ASIDE_WITH_IMAGE)


def without_digests(rows: Sequence[ManifestRow]) -> pd.DataFrame:
    """Rows of the manifest's columns but for `digest`."""
    columns = [name for name in manifest.COLUMNS if name != "digest"]
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    return frame.astype({"rank": "int64"})


def require_flat(root: Path, paths: Iterable[str]) -> None:
    """Raises DatasetError where the images of a folder lie in another of its name within.

    So they do once an archive that holds a folder is unpacked into one that was made for it.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders[folder].append(name)
    for folder, names in folders.items():
        tried = names[:_TRIED]
        parts = folder.split("/") if folder else []
        for end in range(1, len(parts) + 1):
            outer, rest = "/".join(parts[:end]), "/".join(parts[end:])
            inner = f"{outer}/{parts[end - 1]}"
            if not (root / inner).is_dir() or any((root / folder / name).exists() for name in tried):
                continue
            if any((root / inner / rest / name).exists() for name in tried):
                count = sum(
                    len(held) for under, held in folders.items() if f"{under}/".startswith(f"{outer}/")
                )
                raise DatasetError(
                    f"{count} images are listed in {outer} and lie one folder deeper, in {inner}: move what is in "
                    f"{root / inner} up into {root / outer}"
                )


def without_images(root: Path, folders: Iterable[str], paths: Iterable[str]) -> tuple[str, ...]:
    """A note on folders of classes that are there and hold none of the images.

    Args:
        folders: paths from the root that classes may have.
    """
    inner = {path.rpartition("/")[0] for path in paths}
    held = {"/".join(folder.split("/")[:end]) for folder in inner for end in range(1, folder.count("/") + 2)}
    bare = [folder for folder in folders if folder not in held and (root / folder).is_dir()]
    return (
        (f"{len(bare)} folders of classes hold no image ({listed(bare)}): they are no classes",)
        if bare
        else ()
    )


def capped(frame: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """At most `count` images, those whose hashed ids come first, with their captions: whatever the order."""
    images = frame.loc[frame["modality"] == "image", "id"]
    if count is None or count >= len(images):
        return frame
    kept = set(sorted(images, key=lambda name: hashlib.blake2b(name.encode()).digest())[:count])
    return frame[frame["group"].isna() | frame["group"].isin(kept)].reset_index(drop=True)


def is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
