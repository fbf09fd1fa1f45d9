"""i-CIR (Psomas et al., NeurIPS 2025): instances under a text's change, each searched for in its own gallery."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from crossgap.datasets.composing import Query, of_queries
from crossgap.datasets.declared import DatasetError, Icir
from crossgap.datasets.paths import by_name, image_paths
from crossgap.datasets.reading import Reading
from crossgap.datasets.text_files import read_text
from crossgap.prepared.composed import RELEVANT

FILES = {"query": "query_files.csv", "database": "database_files.csv"}


def read(declaration: Icir, _folder: Path) -> Reading:
    """The rows of `query_files.csv` and `database_files.csv`: path, text, instance, without a header.

    An image of the database answers a query if it has its instance and its text; all images of its instance are
    searched. An image that stands in several rows of one file is one image. Paths start at the root or at the folder
    that it lies in.

    Raises:
        DatasetError: a file is missing, a row has other than three fields, an instance has no gallery, or a query no
            answer.
    """
    rows = {split: _rows(declaration.root / name) for split, name in FILES.items()}
    there = by_name(image_paths(declaration.root))
    images: dict[str, tuple[str, str | None]] = {}
    shown: dict[tuple[str, str], list[str]] = defaultdict(list)
    galleries: dict[tuple[str, str], None] = {}
    for split, held in rows.items():
        for path, text, instance in held:
            inside = path.removeprefix(f"{declaration.root.name}/")
            images[path] = split, next(iter(there.get(inside) or there.get(path) or ()), None)
            if split == "database":
                shown[instance, text].append(path)
                galleries[instance, path] = None
    queries = {}
    for path, text, instance in rows["query"]:
        answers = dict.fromkeys(shown.get((instance, text), ()))
        if not answers:
            raise DatasetError(
                f"{FILES['query']}: {path} asks for {instance!r} {text!r}, which no row of {FILES['database']} shows: "
                "take both files of one version"
            )
        name = f"{path} {text}"
        queries[name] = Query(name, path, [text], [(image, RELEVANT) for image in answers], instance)
    return of_queries(images, queries.values(), galleries)


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
