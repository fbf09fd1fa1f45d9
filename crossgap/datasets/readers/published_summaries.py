"""The summaries that Cross the Gap published, pickles, as the JSON by ids that `summaries` declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from crossgap.datasets.declared import Beir, DatasetError, Documents, Texts
from crossgap.datasets.pickles import read_pickle
from crossgap.datasets.readers import beir, documents
from crossgap.datasets.reading import image_ids
from crossgap.datasets.text_files import rows
from crossgap.errors import listed

SHUFFLES = 0, 42  # seeds of scikit-learn's `load_files`, and of `fetch_20newsgroups` behind it


def converted(declaration: Texts, file: Path, folder: Path, order: Path | None = None) -> dict[str, str]:
    """Id of a document → its summary.

    Their pickles are read without executing anything. Those of NanoBEIR have the documents' own ids. Those of 20
    Newsgroups have places in the order of scikit-learn's `fetch_20newsgroups`: of the one folder of the dataset that
    has as many documents. Those that their code makes of IMDB have places in the table that it reads the reviews from.

    Args:
        folder: that the dataset is prepared in.
        order: a table with a column `review`, such as IMDB_Dataset.csv: the places are its rows, and each is found
            among the documents by its words.

    Raises:
        DatasetError: no pickle of texts by name, documents that the dataset lacks, a count that no folder has, or an
            `order` of a set that has ids.
    """
    held = read_pickle(file, "summaries")
    if not isinstance(held, dict) or not held or not all(_is_text(*pair) for pair in held.items()):
        raise DatasetError(
            f"summaries {file}: no dictionary of texts by a place or an id: name summarized_text.pkl"
        )
    summaries = {str(key): text.strip() for key, text in held.items()}
    if isinstance(declaration, Documents):
        names = _listed(declaration, order) if order else _in_order(declaration, len(summaries), file)
        if strangers := sorted(set(summaries) - {str(place) for place in range(len(names))}):
            raise DatasetError(
                f"summaries {file}: keys are places from 0 to {len(names) - 1}; it has {listed(strangers)} too"
            )
        return {name: summaries[str(place)] for place, name in enumerate(names)}
    if order:
        raise DatasetError(
            f"{order}: summaries of the layout {declaration.layout} have ids: give no table of their order"
        )
    if not isinstance(declaration, Beir):
        raise DatasetError(f"Cross the Gap has no summaries of the layout {declaration.layout}")
    frame = beir.read(declaration.model_copy(update={"summaries": None}), folder).frame
    known = frame.loc[frame["split"] == beir.GALLERY, "id"].tolist()
    if strangers := sorted(set(summaries) - set(known)):
        raise DatasetError(
            f"summaries {file} has {len(strangers)} ids that are no document of {declaration.root} "
            f"({listed(strangers)}): name the file of this set"
        )
    return {name: summaries[name] for name in known if name in summaries}


def _is_text(key: Any, text: Any) -> bool:
    return isinstance(key, str | int) and not isinstance(key, bool) and isinstance(text, str)


def _listed(declaration: Documents, order: Path) -> list[str]:
    """The ids of the documents in the order of a table of their texts; of equal texts the first by id comes first."""
    places: dict[str, list[str]] = {}
    paths = documents.paths_of(declaration)
    ids = image_ids(paths)
    for path in sorted(paths, reverse=True):
        places.setdefault(_words(documents.text_of(declaration.root / path)), []).append(ids[path])
    names = []
    for line, (review,) in rows(order, "reviews", ("review",)):
        if not (held := places.get(_words(review))):
            raise DatasetError(
                f"{order} line {line}: {review[:60]!r} is no document of {declaration.root}: take the table and the "
                "archive of one set"
            )
        names.append(held.pop())
    return names


def _words(text: str) -> str:
    """Letters and digits alone: tables and files differ in white space and in how quotes are written."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _in_order(declaration: Documents, count: int, file: Path) -> list[str]:
    """The ids of the documents of the folder that has so many, in the order of `fetch_20newsgroups`."""
    paths = documents.paths_of(declaration)
    ids = image_ids(paths)
    sizes = {}
    for folder in declaration.folders:
        here = [path for path in paths if path.startswith(f"{folder}/")]
        sizes[folder] = len(here)
        if len(here) == count:
            # by class and by name, as words, and shuffled twice
            ordered = np.array(sorted(here, key=lambda path: path.split("/")), dtype=object)
            for seed in SHUFFLES:
                places = np.arange(count)
                np.random.RandomState(seed).shuffle(places)
                ordered = ordered[places]
            return [ids[path] for path in ordered]
    said = ", ".join(f"{folder} has {size}" for folder, size in sizes.items())
    raise DatasetError(
        f"summaries {file} are {count}, and {said} documents: places mean nothing then; unpack the archive again, or "
        "name the file of this split"
    )
