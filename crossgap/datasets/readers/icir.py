"""i-CIR (Psomas et al., NeurIPS 2025): instances under a text's change, each searched for in its own gallery."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from crossgap.datasets.composing import Query, of_queries
from crossgap.datasets.declared import DatasetError, Icir
from crossgap.datasets.paths import by_name, image_paths, name_of, one_file
from crossgap.datasets.reading import Reading
from crossgap.datasets.text_files import read_text
from crossgap.errors import listed
from crossgap.prepared.composed import RELEVANT

FILES = {"query": "query_files.csv", "database": "database_files.csv"}


def read(declaration: Icir, _folder: Path) -> Reading:
    """The rows of `query_files.csv` and `database_files.csv`: path, text, instance, without a header.

    An image of the database answers a query if it has its instance and its text; all images of its instance are
    searched. An image that stands in several rows of one file is one image. Paths start at the root or at the folder
    that it lies in.

    Raises:
        DatasetError: a file is missing, a row has other than three fields, several images are called as a row says, an
            image is in both files, an instance has no gallery, or a query no answer or two instances.
    """
    rows = {split: _rows(declaration.root / name) for split, name in FILES.items()}
    there = by_name(image_paths(declaration.root))
    images: dict[str, tuple[str, str | None]] = {}
    shown: dict[tuple[str, str], list[str]] = defaultdict(list)
    galleries: dict[tuple[str, str], None] = {}
    for split, held in rows.items():
        for path, text, instance in held:
            if images.setdefault(path, (split, _found(declaration.root, there, path)))[0] != split:
                raise DatasetError(
                    f"{path} is in {' and in '.join(FILES.values())}: take both files of one version"
                )
            if split == "database":
                shown[instance, text].append(path)
                galleries[instance, path] = None
    queries: dict[str, Query] = {}
    for path, text, instance in rows["query"]:
        answers = dict.fromkeys(shown.get((instance, text), ()))
        if not answers:
            raise DatasetError(
                f"{FILES['query']}: {path} asks for {instance!r} {text!r}, which no row of {FILES['database']} shows: "
                "take both files of one version"
            )
        name = f"{path} {text}"
        query = Query(name, path, [text], [(image, RELEVANT) for image in answers], instance)
        if (other := queries.setdefault(name, query)).set != instance:
            raise DatasetError(
                f"{FILES['query']}: {path} asks for {text!r} of {other.set!r} and of {instance!r}: unpack it again"
            )
    return of_queries(images, queries.values(), galleries)


def _found(root: Path, there: dict[str, list[str]], path: str) -> str | None:
    """The image that a row calls so; None where there is none."""
    names = dict.fromkeys(map(name_of, (path.removeprefix(f"{root.name}/"), path)))
    found = one_file(root, [image for name in names for image in there.get(name, ())])
    if len(found) > 1:
        raise DatasetError(f"{path} is any of {listed(found)} under {root}: keep one, or mend `root`")
    return found[0] if found else None


def _rows(file: Path) -> list[tuple[str, str, str]]:
    found = []
    for number, line in enumerate(read_text(file, "rows").splitlines(), start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 3 or not all((fields[0], fields[2])):
            raise DatasetError(
                f"{file} line {number}: {line!r} is not path, text and instance: unpack it again"
            )
        found.append((fields[0], fields[1], fields[2]))
    if not found:
        raise DatasetError(f"{file} has no rows: unpack it again")
    return found
