"""Shards of WebDataset: uncompressed tars, whose members of one key are a sample.

A member's key is its name up to the first dot after the last slash, its ending what follows that dot: `a/1.jpg`,
`a/1.txt` and `a/1.cls` are an image, its caption and its class.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from crossgap.datasets import json_text
from crossgap.datasets.declared import DatasetError, WebDataset
from crossgap.datasets.image_files import EXTENSIONS, read_bytes, walk
from crossgap.datasets.readers.samples import Sample, of_samples
from crossgap.datasets.reading import Problem, Reading
from crossgap.datasets.tars import members
from crossgap.errors import ImageError, listed, of_machine


class _Members(NamedTuple):
    """The members of a sample: ending → path, relative to the root."""

    id: str
    split: str
    endings: dict[str, str]


def read(declaration: WebDataset, _folder: Path) -> Reading:
    """Images by shard and place in it, with captions, labels from `cls`, and class prompts.

    A sample's id is its shard without `.tar` and its key. Where any sample has a caption, one without is a problem. A
    class of -1 is none.

    Raises:
        DatasetError: a pattern fits no tar, or two splits one; a tar is compressed or damaged, or has a name twice; no
            sample has a caption or class; or a class has no name.
    """
    found = [
        _Members(name, split, endings)
        for split, tars in _tars(declaration).items()
        for tar in tars
        for name, endings in _samples(declaration.root, tar)
    ]
    samples, problems = [], []
    for held in found:
        try:
            samples.append(_sample(declaration, held))
        except DatasetError as error:
            where = next(iter(held.endings.values()))
            problems.append(Problem(held.id, where, str(error)))
    captioned = any(sample.captions for sample in samples)
    classed = any(sample.label for sample in samples)
    asked = "caption" in declaration.model_fields_set
    if samples and not captioned and (asked or not classed):
        endings = sorted({ending for held in found for ending in held.endings})
        raise DatasetError(
            f"caption: no sample under {declaration.root} has {declaration.caption!r}"
            + ("" if asked else ", nor `cls`")
            + f"; endings: {listed(endings)}; name that of the captions, or `json:<key>`"
        )
    if captioned:
        bare = [sample for sample in samples if not sample.captions]
        problems += [Problem(sample.id, sample.path or sample.id, "image without caption") for sample in bare]
        samples = [sample for sample in samples if sample.captions]
    return of_samples(declaration, samples)._replace(problems=problems)


def _tars(declaration: WebDataset) -> dict[str, list[str]]:
    """Split → paths of its tars from the root, sorted."""
    root = declaration.root
    if not root.is_dir():
        raise DatasetError(f"root {root} is no folder: paths start at the project's root; mend `root`")
    tars: dict[str, list[str]] = {}
    whose: dict[str, str] = {}
    for split, pattern in declaration.splits.items():
        tars[split] = _fitting(root, pattern)
        if not tars[split]:
            raise DatasetError(
                f"splits.{split}: no tar under {root} fits {pattern!r}: give a pattern from `root` with * for what "
                "differs, such as train-*.tar"
            )
        for tar in tars[split]:
            if not tar.lower().endswith(".tar"):
                raise DatasetError(
                    f"splits.{split}: {root / tar} fits {pattern!r}, but is no .tar: decompress it, or mend the pattern"
                )
            if whose.setdefault(tar, split) != split:
                raise DatasetError(f"splits.{split}: {tar} is of split {whose[tar]} too: mend the patterns")
    return tars


def _fitting(root: Path, pattern: str) -> list[str]:
    """Paths from the root that a pattern fits, sorted; folders that link to others count, hidden files don't."""
    parts = PurePosixPath(pattern).parts
    if pattern.startswith("/") or ".." in parts or not parts:
        return []
    if "**" in parts:  # pathlib's would pass by folders that are links
        return sorted(path for path in walk(root) if _fits(path.split("/"), parts))
    found = (path.relative_to(root) for path in root.glob(pattern))
    return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))


def _fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_fits(path[start:], pattern[1:]) for start in range(len(path)))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _fits(path[1:], pattern[1:])


def _samples(root: Path, tar: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Id and members of every sample, in the tar's order; hidden members and those without an ending are none."""
    samples: dict[str, dict[str, str]] = {}
    for member in _names(root / tar):
        folder, _, name = member.rpartition("/")
        stem, _, ending = name.partition(".")
        if not stem or not ending:
            continue
        key = f"{folder}/{stem}" if folder else stem
        endings = samples.setdefault(key, {})
        if ending.lower() in endings:
            raise DatasetError(f"{root / tar} has {member} twice: a key is of one sample; pack it again")
        endings[ending.lower()] = f"{tar}/{member}"
    for key, endings in samples.items():
        yield f"{tar[: -len('.tar')]}/{key}", endings


def _names(file: Path) -> Iterator[str]:
    try:
        yield from members(file)
    except (OSError, tarfile.TarError) as error:
        if of_machine(error):
            raise
        raise DatasetError(
            f"{file} is not a whole uncompressed tar ({error}): decompress it, or download it again"
        ) from None


def _sample(declaration: WebDataset, held: _Members) -> Sample:
    """The sample of these members.

    Raises:
        DatasetError: its image, caption or class can't be read.
    """
    images = [path for ending, path in held.endings.items() if ending in EXTENSIONS]
    if len(images) != 1:
        raise DatasetError(_not_one(held.endings, images))
    root = declaration.root
    captions = _captions(root, held.endings, declaration.caption)
    label = _text(root, held.endings["cls"]) if "cls" in held.endings else None
    if label == "":
        raise DatasetError("empty class: write its number or name into the `cls`")
    return Sample(held.id, held.split, images[0], captions, label)


def _not_one(endings: Mapping[str, str], images: Sequence[str]) -> str:
    """Why a sample has no image, or more than one."""
    if images:
        return f"several images: {listed(images)}: keep one of a key"
    dotted = [
        path for ending, path in endings.items() if ending.rpartition(".")[2] in EXTENSIONS and "." in ending
    ]
    if not dotted:
        return "sample without image"
    name = PurePosixPath(dotted[0]).name
    stem, _, ending = name.rpartition(".")
    return (
        f"sample without image: the key of {name} ends at its first dot, as webdataset has it, which leaves the ending "
        f"{name.partition('.')[2]!r}: pack it under a name with no other dot, such as {stem.replace('.', '_')}.{ending}"
    )


def _captions(root: Path, endings: dict[str, str], field: str) -> list[str]:
    ending, _, key = field.partition(":")
    if ending not in endings:
        return []
    content: Any = _text(root, endings[ending])
    if key:
        try:
            held = json_text.loads(content)
        except json.JSONDecodeError as error:
            raise DatasetError(f"its `{ending}` is no JSON: {error.msg}") from None
        content = held.get(key) if isinstance(held, dict) else None
    if content is None:
        return []
    captions = content if isinstance(content, list) else [content]
    if not all(isinstance(caption, str) for caption in captions):
        raise DatasetError(f"its {field} is no text: {content!r}"[:200])
    captions = [caption.strip() for caption in captions]
    if "" in captions:
        raise DatasetError("empty caption")
    return captions


def _text(root: Path, path: str) -> str:
    try:
        return read_bytes(root, path).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise DatasetError(f"not UTF-8: {path}") from None
    except ImageError as error:
        raise DatasetError(error.problem) from None
