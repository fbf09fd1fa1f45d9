"""Sets with one of CoOp's split files (Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from crossgap.datasets import json_text
from crossgap.datasets.declared import Coop, DatasetError
from crossgap.datasets.readers.lists import reading, require
from crossgap.datasets.reading import Listed, Reading
from crossgap.datasets.text_files import read_text


def read(declaration: Coop, _folder: Path) -> Reading:
    """Images of the split file's entries, `[path, number, name]`; a class is labelled by its name.

    Prompts have blanks for the name's underscores, as CoOp's do. Where several numbers have one name, they stay classes
    of their own, labelled `<name> (<number>)`. An image whose number is below 0 has no class.

    Raises:
        DatasetError: the split file or the images' folder is missing, the file is malformed, a number has two names,
            or what `crossgap.datasets.readers.lists.reading` raises.
    """
    file = require(
        declaration.root, declaration.split_file, "CoOp's DATASETS.md links it; or mend `split_file`"
    )
    require(declaration.root, declaration.images, "unpack the archive there, or mend `images`")
    entries = list(_entries(file, declaration.splits_read))
    names: dict[int, str] = {}
    for where, _, _, number, name in entries:
        if names.setdefault(number, name) != name:
            raise DatasetError(
                f"{file}: {where} calls class {number} {name!r}, others {names[number]!r}: download the file again"
            )
    bearers = Counter(names.values())
    labels = {
        number: name if bearers[name] == 1 else f"{name} ({number})"
        for number, name in names.items()
        if number >= 0
    }
    prompted = {label: names[number].replace("_", " ") for number, label in labels.items()}
    folder = PurePosixPath(declaration.images)
    images = [Listed(str(folder / path), split, labels.get(number)) for _, split, path, number, _ in entries]
    return reading(declaration, images, prompted)


def _entries(file: Path, splits: Sequence[str]) -> Iterator[tuple[str, str, str, int, str]]:
    """Place in the file, split, path, class number and name of every entry."""
    try:
        content = json_text.loads(read_text(file, "split file"))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{file} line {error.lineno}: no JSON ({error.msg}): download it again") from None
    for split in splits:
        entries = content.get(split) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise DatasetError(
                f"{file} has no list {split!r}: it needs {', '.join(splits)}; download it again"
            )
        for place, entry in enumerate(entries):
            where = f"{split}[{place}]"
            match entry:
                case [str(path), int(number), str(name)] if (
                    path and name.strip() and not isinstance(number, bool)
                ):
                    yield where, split, path, number, name
                case _:
                    raise DatasetError(
                        f"{file}: {where} is {entry!r}, not [path, number, name]: download it again"
                    )
