"""Labelled images that a set lists, or names by their class: what the readers of published image sets share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from crossgap.datasets.declared import Classified, DatasetError
from crossgap.datasets.paths import require_flat
from crossgap.datasets.reading import Listed, Reading, labelled
from crossgap.datasets.text_files import read_text
from crossgap.errors import listed


def require(root: Path, name: str, remedy: str = "unpack the archive again, or mend `root`") -> Path:
    """The path of a file or folder that must lie under a root.

    Raises:
        DatasetError: the root is no folder, or there is no such file or folder in it.
    """
    if not root.is_dir():
        raise DatasetError(f"root {root} is no folder: paths start at the project's root; mend `root`")
    if not (root / name).exists():
        deeper = next((path for path in sorted(root.glob("*")) if (path / name).exists()), None)
        raise DatasetError(f"{root} has no {name}: {remedy}" + (f" ({deeper} has one)" if deeper else ""))
    return root / name


def table(file: Path, form: str) -> Iterator[tuple[int, list[str]]]:
    """Line, counted from 1, and fields of every line that isn't blank; fields are separated by blanks.

    Args:
        form: names of the fields, separated by blanks; the last one takes the rest of the line.

    Raises:
        DatasetError: the file can't be read, is empty, or a line has fewer fields.
    """
    count = len(form.split())
    empty = True
    for number, line in enumerate(read_text(file, "list").splitlines(), start=1):
        fields = line.strip().split(maxsplit=count - 1)
        if fields and len(fields) < count:
            raise DatasetError(f"{file} line {number}: {line!r} is not `{form}`: unpack the archive again")
        if fields:
            empty = False
            yield number, fields
    if empty:
        raise DatasetError(f"{file} is empty, a line of it is `{form}`: unpack the archive again")


def reading(declaration: Classified, images: Sequence[Listed], names: Mapping[str, str]) -> Reading:
    """`labelled`, with the declaration's names and templates.

    Args:
        names: label → what the set calls it.

    Raises:
        DatasetError: an image is listed twice, `class_names` has a label that the set lacks, images lie one folder
            deeper than they are listed, or folders of images are missing and problems are errors.
    """
    listings = Counter(image.path for image in images)
    if twice := [path for path, count in listings.items() if count > 1]:
        raise DatasetError(
            f"{declaration.root}: {len(twice)} images are listed more than once ({listed(twice)}): splits share no "
            "image; unpack or download the lists again"
        )
    if unknown := sorted(set(declaration.class_names) - set(names)):
        raise DatasetError(
            f"class_names: {declaration.root} has no class {listed(unknown)}; its classes are {listed(sorted(names))}"
        )
    require_flat(declaration.root, listings)
    if declaration.on_problem == "error":
        _require_folders(declaration.root, listings)
    return labelled(
        images, declaration.labelling, {**names, **declaration.class_names}, declaration.templates
    )


def _require_folders(root: Path, paths: Iterable[str]) -> None:
    folders = sorted({path.rpartition("/")[0] for path in paths})
    missing = [folder for folder in folders if ".tar" not in folder and not (root / folder).is_dir()]
    if not missing:
        return
    beside = (root / missing[0]).parent
    there = sorted(path.name for path in beside.iterdir() if path.is_dir()) if beside.is_dir() else []
    strange = [
        name for name in there if f"{beside.relative_to(root)}/{name}".removeprefix("./") not in folders
    ]
    raise DatasetError(
        f"{len(missing)} of {len(folders)} folders of listed images are not under {root} ({listed(missing)})"
        + (f"; {beside} has others instead ({listed(strange)})" if strange else "")
        + ": unpack the archive again, mend `root`, or declare `on_problem: set_aside` to go on without them"
    )
