"""Labelled documents in a folder a class."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crossgap.datasets.declared import DatasetError, Documents
from crossgap.datasets.labels import label_of
from crossgap.datasets.reading import Problem, Reading, image_ids, without_digests
from crossgap.datasets.summaries import summarised
from crossgap.prepared import manifest

QUERY = "query"


def read(declaration: Documents, _folder: Path) -> Reading:
    """A row for each document by path; then, where `queries` are declared, a text for each class that asks for it.

    With `queries`, only the classes that they name are read, which leaves out IMDB's `unsup`. Bytes that aren't UTF-8
    are read as Latin-1, as 20 Newsgroups needs. Documents in a folder named -1 have no class.

    Raises:
        DatasetError: a folder or class is missing or has no documents, or summaries are.
    """
    paths = paths_of(declaration)
    ids = image_ids(paths)
    texts = {ids[path]: text_of(declaration.root / path) for path in sorted(paths)}
    problems = [Problem(ids[path], path, "empty document") for path in sorted(paths) if not texts[ids[path]]]
    texts = summarised(declaration, {name: text for name, text in texts.items() if text})
    found = [(ids[path], *paths[path]) for path in sorted(paths) if ids[path] in texts]
    items = [(name, "text", split, None, texts[name], None, 0) for name, split, _ in found]
    asked = sorted(declaration.queries.items())
    items += [(f"{QUERY}/{label}", "text", QUERY, None, text, None, 0) for label, text in asked]
    labels = [label_of(label) for *_, label in found] + [label for label, _ in asked]
    frame = without_digests(items)
    frame[manifest.LABEL + declaration.labelling] = pd.Series(labels, dtype=object)
    return Reading(frame, problems)


def paths_of(declaration: Documents) -> dict[str, tuple[str, str]]:
    """Path of every document → its split and class."""
    return {
        path: (split, label)
        for folder, split in declaration.folders.items()
        for label in _classes(declaration, folder)
        for path in _documents(declaration.root, f"{folder}/{label}")
    }


def _classes(declaration: Documents, folder: str) -> list[str]:
    root = declaration.root / folder
    if not root.is_dir():
        raise DatasetError(
            f"folders: {root} is no folder: unpack the archive again, or mend `root` or `folders`"
        )
    there = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if missing := sorted(set(declaration.queries) - set(there)):
        raise DatasetError(
            f"queries: {root} has no class {', '.join(missing)}; it has {', '.join(there) or 'no folders'}"
        )
    return sorted(declaration.queries) or there


def _documents(root: Path, folder: str) -> list[str]:
    names = [
        path.name for path in (root / folder).iterdir() if path.is_file() and not path.name.startswith(".")
    ]
    if not names:
        raise DatasetError(f"{root / folder} has no documents: unpack the archive again")
    return [f"{folder}/{name}" for name in names]


def text_of(file: Path) -> str:
    """The text of a document."""
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return content.decode("latin-1").strip()
