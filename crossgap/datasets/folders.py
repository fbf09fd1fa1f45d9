"""Readers of images that the user has: a declaration in, a manifest and what is wrong with the data out."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from crossgap import manifest
from crossgap.datasets import Captions, DatasetError, Folder, ImageFolder, OnDisk
from crossgap.datasets.boxes import box_problem, read_boxes
from crossgap.datasets.captions_file import rows
from crossgap.datasets.images import EXTENSIONS, ImageError, check_all, list_images

SET_ASIDE_WITH_IMAGE = "set aside with its image"
_LISTED = 20


class Problem(NamedTuple):
    """What is wrong with one item: `item` is where to find it; `problem` up to a colon is the kind."""

    id: str
    item: str
    problem: str


class Reading(NamedTuple):
    """`frame` is a manifest without digests, of the items that no problem sets aside."""

    frame: pd.DataFrame
    problems: list[Problem]


def read(declaration: Folder) -> Reading:
    """The manifest of a declared dataset, its images listed but not yet opened.

    Raises:
        DatasetError: the root, captions or boxes are missing or malformed, or don't have the declared layout.
    """
    paths = image_paths(declaration.root)
    readable = [path for path in paths if _is_unicode(path)]
    problems = [
        Problem(ascii(path), ascii(path), "file name is not UTF-8") for path in paths if not _is_unicode(path)
    ]
    reader = _read_captions if isinstance(declaration, Captions) else _read_imagefolder
    frame, found = reader(declaration, image_ids(readable))
    if declaration.boxes is not None:
        named = _by_name(readable)
        boxes = read_boxes(declaration.boxes, lambda name: named.get(_name(name.removeprefix("./")), []))
        frame[manifest.BOX] = frame["path"].map(boxes).astype(object)
    return Reading(_capped(frame, declaration.max_images), problems + found)


def image_paths(root: Path) -> list[str]:
    """`list_images` of a declared root.

    Raises:
        DatasetError: it does not exist, holds no images, or a tar of it is damaged.
    """
    try:
        paths = list_images(root)
    except FileNotFoundError:
        raise DatasetError(f"root {root} does not exist: paths start at the project's root") from None
    except ImageError as error:
        raise DatasetError(str(error)) from None
    if not paths:
        where = f"folders or uncompressed tars and end in {', '.join(sorted(EXTENSIONS))}"
        raise DatasetError(f"no images under {root}: they lie in {where}")
    return paths


def prepare(declaration: Folder, workers: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a dataset and check every image: `read`, then `checked`."""
    return checked(declaration, read(declaration), workers)


def checked(declaration: OnDisk, reading: Reading, workers: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check every image of what was read: `(manifest, problems)`.

    `problems` has columns `id`, `item`, `problem`; its items are not in the manifest.

    Raises:
        DatasetError: items have problems that the declaration doesn't set aside; or no image of the query or gallery
            split is left.
        ManifestError: the items make no valid manifest, for the name of a split, say.
    """
    frame, problems = reading
    images = frame["modality"] == "image"
    opened = check_all(declaration.root, frame.loc[images, "path"], workers)
    frame.loc[images, "digest"] = opened["digest"].to_numpy()
    frame.loc[~images, "digest"] = frame.loc[~images, "text"].map(manifest.text_digest)

    if manifest.BOX in frame:
        found = zip(opened["problem"], opened["path"], frame.loc[images, manifest.BOX], strict=True)
        opened["problem"] = [problem or box_problem(declaration.root, *of) for problem, *of in found]
    bad = frame[images][opened["problem"].notna().to_numpy()]
    why = opened["problem"].dropna()
    problems = problems + [Problem(*found) for found in zip(bad["id"], bad["path"], why, strict=True)]
    if problems and declaration.on_problem == "error":
        raise DatasetError(_listing(declaration, problems))
    lost = frame["group"].isin(bad["id"])
    orphans = frame[lost & ~images]
    problems += [_with_image(*orphan) for orphan in zip(orphans["id"], orphans["text"], strict=True)]

    frame = frame[~lost]
    _require_splits(declaration, frame[frame["modality"] == "image"])
    return manifest.validate(frame), pd.DataFrame(problems, columns=Problem._fields, dtype=object)


def image_ids(paths: Iterable[str]) -> dict[str, str]:
    """Path → id: the path without its extension and with tars as folders; among equals, more of the path."""
    paths = list(paths)
    names = {path: (*_names(path), path) for path in paths}
    level = dict.fromkeys(paths, 0)
    while True:
        bearers = defaultdict(list)
        for path in paths:
            bearers[names[path][level[path]]].append(path)
        rivals = [path for equal in bearers.values() if len(equal) > 1 for path in equal if level[path] < 2]
        if not rivals:
            return {path: names[path][level[path]] for path in paths}
        for path in rivals:
            level[path] += 1


def _names(path: str) -> tuple[str, str]:
    name = _name(path)
    return os.path.splitext(name)[0], name


def _name(path: str) -> str:
    return "/".join(_parts(path))


def _by_name(paths: Iterable[str]) -> dict[str, list[str]]:
    named = defaultdict(list)
    for path in paths:
        named[_name(path)].append(path)
    return named


def _parts(path: str) -> list[str]:
    """A path's folders, tars among them, and file name, in Unicode's composed form: macOS decomposes."""
    *folders, name = unicodedata.normalize("NFC", path).split("/")
    return [*(part[:-4] if part.lower().endswith(".tar") else part for part in folders), name]


def _read_captions(declaration: Captions, ids: dict[str, str]) -> Reading:
    """A row an image by path, then a row a caption; the order in the file gives the rank."""
    whole, endings = _by_name(ids), defaultdict(list)
    for path in ids:
        parts = _parts(path)
        for start in range(1, len(parts)):
            endings["/".join(parts[start:])].append(path)
    captions, splits, seen, problems = defaultdict(list), defaultdict(set), set(), []
    for row in rows(declaration):
        name = _name(row.image.removeprefix("./"))
        paths = whole.get(name) or endings.get(name, [])
        if row.fields in seen:
            problem = "duplicate row"
        elif not paths:
            problem = "caption for no image: nothing under the root has this name"
        elif len(paths) > 1:
            problem = f"caption for an ambiguous image: {paths[0]} or {paths[1]}"
        elif not row.caption:
            problem = "empty caption"
        elif not row.split:
            problem = "no split"
        else:
            problem = None
            captions[paths[0]].append(row.caption)
            splits[paths[0]].add(row.split)
        seen.add(row.fields)
        if problem:
            image = ids[paths[0]] if len(paths) == 1 else os.path.splitext(name)[0]
            item = f"{declaration.captions.name} line {row.line}: {row.image}"
            problems.append(Problem(manifest.caption_id(image, row.caption), item, problem))

    images, texts = [], []
    for path, image in ids.items():
        captioned = list(zip(_caption_ids(image, captions[path]), captions[path], strict=True))
        if not captioned:
            problems.append(Problem(image, path, "image without caption"))
        elif len(splits[path]) > 1:
            problems.append(Problem(image, path, f"in several splits: {', '.join(sorted(splits[path]))}"))
            problems += [_with_image(name, text) for name, text in captioned]
        else:
            (split,) = splits[path]
            images.append((image, "image", split, path, None, image, 0))
            texts += [
                (name, "text", split, None, text, image, rank) for rank, (name, text) in enumerate(captioned)
            ]
    return Reading(without_digests(images + texts), problems)


def _caption_ids(image: str, texts: list[str]) -> list[str]:
    met = Counter()
    ids = []
    for text in texts:
        met[text] += 1
        ids.append(manifest.caption_id(image, text, met[text]))
    return ids


def _with_image(name: str, text: str) -> Problem:
    return Problem(name, f"caption: {text}", SET_ASIDE_WITH_IMAGE)


def _read_imagefolder(declaration: ImageFolder, ids: dict[str, str]) -> Reading:
    """A row an image by path, then the class prompts by class and template."""
    splits = declaration.splits
    layout = "<class>/<image>" if splits is None else "<split>/<class>/<image>"
    images, labels, problems = [], [], []
    for path, image in ids.items():
        parts = _parts(path)
        if splits is not None and parts[0] not in splits:
            continue
        if len(parts) != layout.count("/") + 1:
            problem = f"not laid out as {layout}: move it, or mend `root` or `splits`"
            problems.append(Problem(image, path, problem))
            continue
        split = "test" if splits is None else parts[0]
        images.append((image, "image", split, path, None, image, 0))
        labels.append(parts[-2])

    classes = sorted(set(labels))
    unknown = sorted(set(declaration.class_names) - set(classes))
    empty = sorted(set(splits or []) - {row[2] for row in images})
    if empty and not problems:
        raise DatasetError(f"splits: nothing in {', '.join(empty)} under {declaration.root}")
    if unknown and images:
        raise DatasetError(f"class_names: no folder {', '.join(unknown)} under {declaration.root}")
    prompts = [
        (
            f"classes/{declaration.labelling}/{name}#{k}",
            "text",
            manifest.CLASSES,
            None,
            template.replace("{}", declaration.class_names.get(name, name.replace("_", " "))),
            None,
            k,
        )
        for name in classes
        for k, template in enumerate(declaration.templates)
    ]
    frame = without_digests(images + prompts)
    prompted = [name for name in classes for _ in declaration.templates]
    frame[manifest.LABEL + declaration.labelling] = pd.Series(labels + prompted, dtype=object)
    return Reading(frame, problems)


def without_digests(rows: list[tuple]) -> pd.DataFrame:
    """Rows of the manifest's columns but for `digest`."""
    columns = [name for name in manifest.COLUMNS if name != "digest"]
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    return frame.astype({"rank": "int64"})


def _capped(frame: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """At most `count` images, those whose hashed ids come first, with their captions: whatever the order."""
    images = frame.loc[frame["modality"] == "image", "id"]
    if count is None or count >= len(images):
        return frame
    kept = set(sorted(images, key=lambda name: hashlib.blake2b(name.encode()).digest())[:count])
    return frame[frame["group"].isna() | frame["group"].isin(kept)].reset_index(drop=True)


def _require_splits(declaration: OnDisk, images: pd.DataFrame) -> None:
    for field, split in declaration.splits_used.items():
        if split not in set(images["split"]):
            held = ", ".join(sorted(set(images["split"]))) or "none"
            raise DatasetError(
                f"{field}: split {split!r} of {declaration.root} has no images; splits: {held}"
            )


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listing(declaration: OnDisk, problems: list[Problem]) -> str:
    own = [problem for problem in problems if problem.problem != SET_ASIDE_WITH_IMAGE]
    kinds = Counter(problem.problem.split(":")[0] for problem in own)
    counts = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common())
    lines = [f"{declaration.root} has {len(own)} bad items: {counts}"]
    lines += [f"  {item}: {problem}" for _, item, problem in own[:_LISTED]]
    if len(own) > _LISTED:
        lines.append(f"  … and {len(own) - _LISTED} more")
    return "\n".join([*lines, "Mend them, or declare `on_problem: set_aside` to go on without them."])
