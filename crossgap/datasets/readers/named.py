"""Captioned images that a set's own files call by name: what `coco`, `karpathy` and `flickr` share."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossgap.datasets import json_text
from crossgap.datasets.declared import DatasetError, OnDisk
from crossgap.datasets.paths import image_paths, name_of, one_file, parts_of, plain
from crossgap.datasets.reading import Problem, Reading, captioned, image_ids
from crossgap.datasets.text_files import read_text
from crossgap.errors import listed


def read_json(file: Path, what: str, *lists: str) -> list[list[Any]]:
    """The lists under these keys of a JSON file.

    Args:
        what: says in messages what the file holds.

    Raises:
        DatasetError: the file can't be read, is no JSON or cut short, or lacks a list.
    """
    content = _json(file, what)
    for key in lists:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DatasetError(f"{file} has no list {key!r}: {what} need {', '.join(lists)}")
    return [content[key] for key in lists]


def read_content(file: Path, what: str, kind: type[Any]) -> Any:
    """What a JSON file holds, a list or an object as `kind` says.

    Raises:
        DatasetError: the file can't be read, is no JSON, cut short, empty or of another kind.
    """
    content = _json(file, what)
    if not isinstance(content, kind) or not content:
        raise DatasetError(
            f"{file} is no {kind.__name__} with anything in it: name the file that the layout describes"
        )
    return content


def _json(file: Path, what: str) -> Any:
    try:
        return json_text.loads(read_text(file, what))
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{file} line {error.lineno}: no JSON ({error.msg}): download or unpack it again"
        ) from None


def values(file: Path, where: str, row: Any, **kinds: type | tuple[type, ...]) -> list[Any]:
    """The values of a JSON object under these keys.

    Raises:
        DatasetError: it is no object, a key is missing, or a value is of another kind.
    """
    held = row if isinstance(row, dict) else {}
    for key, kind in kinds.items():
        if not isinstance(held.get(key), kind):
            raise DatasetError(
                f"{file}: {where} has {key} {held.get(key)!r}: name the file that the layout describes"
            )
    return [held[key] for key in kinds]


def read_named(
    declaration: OnDisk, captions: Mapping[str, tuple[str, Sequence[str]]], parts: Mapping[str, Iterable[str]]
) -> Reading:
    """Images by the names that a set gives them, file names or ends of paths, with their captions.

    Args:
        captions: name → split and captions, in the order of their ranks.
        parts: a part of the set that comes as one archive, such as "folder val2014" → the names of its images.

    Raises:
        DatasetError: a name fits several images, or none of a part is there and problems are errors.
    """
    paths = paths_of(declaration, captions, parts)
    ids = image_ids(set(paths.values()))
    problems, images = [], {}
    for name, (split, texts) in captions.items():
        path = paths[name]
        kept = [text.strip() for text in texts if text.strip()]
        if len(kept) < len(texts):
            problems.append(Problem(f"{ids[path]}#", name, "empty caption"))
        if kept:
            images[path] = split, kept
        else:
            problems.append(Problem(ids[path], name, "image without caption"))
    return Reading(captioned(images), problems)


def paths_of(declaration: OnDisk, names: Iterable[str], parts: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Name → path of the image that ends in it; the name itself where there is none, which is looked for later.

    Args and errors as of `read_named`.
    """
    endings = defaultdict(list)
    for path in image_paths(declaration.root):
        endings[parts_of(path)[-1]].append(path)
    found = {}
    for name in names:
        ending = parts_of(plain(name, declaration.root))
        same = [path for path in endings[ending[-1]] if parts_of(path)[-len(ending) :] == ending]
        whole = [path for path in same if name_of(path) == name_of(name)]
        whole, same = (one_file(declaration.root, paths) for paths in (whole, same))
        if len(whole or same) > 1:
            raise DatasetError(
                f"{name} is any of {listed(whole or same)} under {declaration.root}: keep one, or mend `root`"
            )
        found[name] = (whole or same or [name])[0]
    there = {path for paths in endings.values() for path in paths}
    for part, members in parts.items():
        members = list(members)
        if declaration.on_problem == "error" and there.isdisjoint(found[name] for name in members):
            raise DatasetError(
                f"{part}: none of its {len(members)} images is under {declaration.root}, {members[0]} for one: "
                "unpack its archive there, or declare `on_problem: set_aside` to go on without them"
            )
    return found
