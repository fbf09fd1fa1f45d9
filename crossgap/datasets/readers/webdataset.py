"""Shards of WebDataset: uncompressed tars, whose members of one key are a sample.

A member's key is its name up to the first dot after the last slash, its ending what follows that dot: `a/1.jpg`,
`a/1.txt` and `a/1.cls` are an image, its caption and its class.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from crossgap.arrays import listed
from crossgap.datasets.declared import DatasetError, WebDataset
from crossgap.datasets.images import EXTENSIONS, ImageError, read_bytes
from crossgap.datasets.readers.samples import Sample, of_samples
from crossgap.datasets.reading import Problem, Reading


class _Members(NamedTuple):
    """A sample as it lies in its shard: ending → path from the root."""

    id: str
    split: str
    endings: dict[str, str]


def read(declaration: WebDataset, _folder: Path) -> Reading:
    """Images by shard and place in it, with captions, labels from `cls`, and class prompts.

    A sample's id is its shard without `.tar` and its key. Where any sample has a caption, one without is a problem.

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
    for members in found:
        try:
            samples.append(_sample(declaration, members))
        except ValueError as error:
            where = next(iter(members.endings.values()))
            problems.append(Problem(members.id, where, str(error)))
    captioned = any(sample.captions for sample in samples)
    classed = any(sample.label for sample in samples)
    asked = "caption" in declaration.model_fields_set
    if samples and not captioned and (asked or not classed):
        endings = sorted({ending for members in found for ending in members.endings})
        raise DatasetError(
            f"caption: no sample under {declaration.root} has {declaration.caption!r}"
            + ("" if asked else ", nor `cls`")
            + f"; endings: {listed(endings)}; name that of the captions, or `json:<key>`"
        )
    if captioned:
        bare = [sample for sample in samples if not sample.captions]
        problems += [Problem(sample.id, sample.path, "image without caption") for sample in bare]
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
        relative = not Path(pattern).is_absolute() and ".." not in Path(pattern).parts
        tars[split] = (
            sorted(path.relative_to(root).as_posix() for path in root.glob(pattern)) if relative else []
        )
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
        with tarfile.open(file, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # else tarfile keeps an object for each
                if member.isfile():
                    yield member.name.removeprefix("./")
    except (OSError, tarfile.TarError) as error:
        raise DatasetError(
            f"{file} is not a whole uncompressed tar ({error}): decompress it, or download it again"
        ) from None


def _sample(declaration: WebDataset, members: _Members) -> Sample:
    """Raises ValueError where the image, the caption or the class can't be had."""
    images = [path for ending, path in members.endings.items() if ending in EXTENSIONS]
    if len(images) != 1:
        several = f"several images: {listed(images)}: keep one of a key"
        raise ValueError(several if images else "sample without image")
    root = declaration.root
    captions = _captions(root, members.endings, declaration.caption)
    label = _text(root, members.endings["cls"]) if "cls" in members.endings else None
    if label == "":
        raise ValueError("empty class: write its number or name into the `cls`")
    return Sample(members.id, members.split, images[0], captions, label)


def _captions(root: Path, endings: dict[str, str], field: str) -> list[str]:
    ending, _, key = field.partition(":")
    if ending not in endings:
        return []
    content = _text(root, endings[ending])
    if key:
        try:
            held = json.loads(content)
        except json.JSONDecodeError as error:
            raise ValueError(f"its `{ending}` is no JSON: {error.msg}") from None
        content = held.get(key) if isinstance(held, dict) else None
    if content is None:
        return []
    captions = content if isinstance(content, list) else [content]
    if not all(isinstance(caption, str) for caption in captions):
        raise ValueError(f"its {field} is no text: {content!r}"[:200])
    captions = [caption.strip() for caption in captions]
    if "" in captions:
        raise ValueError("empty caption")
    return captions


def _text(root: Path, path: str) -> str:
    try:
        return read_bytes(root, path).decode().strip()
    except UnicodeDecodeError:
        raise ValueError(f"not UTF-8: {path}") from None
    except ImageError as error:
        raise ValueError(error.problem) from None
