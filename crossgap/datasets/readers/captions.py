"""Images and a CSV of captions."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from crossgap.datasets.declared import Captions
from crossgap.datasets.image_files import slashes
from crossgap.datasets.paths import by_name, name_of, one_file, parts_of, plain
from crossgap.datasets.readers import own
from crossgap.datasets.readers.captions_file import CaptionLine, rows
from crossgap.datasets.reading import ManifestRow, Problem, Reading, caption_ids, with_image, without_digests
from crossgap.prepared import manifest


def read(declaration: Captions, _folder: Path) -> Reading:
    return own.read(declaration, _of)


def _of(declaration: Captions, ids: dict[str, str]) -> Reading:
    """A row an image by path, then a row a caption; the order in the file gives the rank.

    Images that the file doesn't name don't belong to the dataset.
    """
    whole, endings = by_name(ids), defaultdict(list)
    for path in ids:
        parts = parts_of(path)
        for start in range(1, len(parts)):
            endings["/".join(parts[start:])].append(path)
    captions, splits, seen, problems = defaultdict(list), defaultdict(set), set(), []
    named: set[str] = set()
    for row in rows(declaration):
        name = name_of(plain(row.image, declaration.root))
        inside = name.removeprefix(f"{declaration.root.as_posix()}/")  # a path from the project
        paths = whole.get(name) or endings.get(name) or whole.get(inside, [])
        paths = one_file(declaration.root, paths)
        problem = "duplicate row" if row.fields in seen else _problem(row, paths)
        seen.add(row.fields)
        if len(paths) == 1:
            named.add(paths[0])
        if problem is None:
            captions[paths[0]].append(row.caption)
            splits[paths[0]].add(row.split)
        else:
            image = ids[paths[0]] if len(paths) == 1 else os.path.splitext(name)[0]
            item = f"{declaration.captions.name} line {row.line}: {row.image}"
            problems.append(Problem(manifest.caption_id(image, row.caption), item, problem))

    images: list[ManifestRow] = []
    texts: list[ManifestRow] = []
    alone = len(ids.keys() - named)
    for path, image in ids.items():
        if path not in named:
            continue
        captioned = list(zip(caption_ids(image, captions[path]), captions[path], strict=True))
        if not captioned:
            problems.append(Problem(image, path, "image without caption"))
        elif len(splits[path]) > 1:
            problems.append(Problem(image, path, f"in several splits: {', '.join(sorted(splits[path]))}"))
            problems += [with_image(name, text) for name, text in captioned]
        else:
            (split,) = splits[path]
            images.append((image, "image", split, path, None, image, 0))
            texts += [
                (name, "text", split, None, text, image, rank) for rank, (name, text) in enumerate(captioned)
            ]
    file = declaration.captions.name
    notes = (f"{alone} images under {declaration.root} are not named by {file}: they are left alone",)
    return Reading(without_digests(images + texts), problems, notes=notes if alone else ())


def _problem(row: CaptionLine, paths: Sequence[str]) -> str | None:
    """Why a row is no caption of one of these images; None if it is one of the only image."""
    if not paths:
        return f"caption for no image: nothing under the root has this name{slashes(row.image)}"
    if len(paths) > 1:
        return f"caption for an ambiguous image: {paths[0]} or {paths[1]}"
    if not row.caption:
        return "empty caption"
    return None if row.split else "no split"
