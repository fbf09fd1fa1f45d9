"""ROxford5k and RParis6k (Radenovic et al., Revisiting Oxford and Paris, CVPR 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossgap.datasets.declared import DatasetError, Revisited
from crossgap.datasets.pickles import as_text, read_pickle
from crossgap.datasets.readers.lists import require
from crossgap.datasets.reading import Reading, without_digests
from crossgap.datasets.text_files import read_text
from crossgap.metrics.retrieval.revisited import GRADES, revisited_judgements
from crossgap.prepared import manifest

QUERY, GALLERY = "query", "gallery"
FOLDER, DISTRACTORS = "jpg", "revisitop1m.txt"
_LISTS = ("easy", "hard", "junk")


def read(declaration: Revisited, _folder: Path) -> Reading:
    """Queries, cropped to their boxes, then the gallery; ids are the set's own names, `query/<name>` of a query.

    Judgements are of the settings easy, medium and hard. A query may have no relevant item in one of them, as some of
    ROxford's have no easy one: it has a relevant item in the others and is left out of that setting's means.

    Raises:
        DatasetError: a file or folder is missing, the pickle is damaged or holds something else.
    """
    root = declaration.root
    file = require(root, declaration.ground_truth, "download it again, or mend `ground_truth`")
    require(root, FOLDER, "put the images themselves into it, without folders between")
    held = as_text(read_pickle(file, "ground truth"))
    if not isinstance(held, dict):
        raise DatasetError(f"{file} holds a {type(held).__name__}, not a dict: download it again")
    gallery, queries = (_names(file, held, key) for key in ("imlist", "qimlist"))
    truths = held.get("gnd")
    if not isinstance(truths, list) or len(truths) != len(queries):
        raise DatasetError(
            f"{file}: gnd is no list of {len(queries)} queries, one for each of qimlist: download it again"
        )
    lists, boxes = [], []
    for number, (query, truth) in enumerate(zip(queries, truths, strict=True)):
        where = f"{file}: gnd[{number}]"
        if not isinstance(truth, dict):
            raise DatasetError(f"{where} is a {type(truth).__name__}, not a dict: download it again")
        boxes.append(_box(where, truth.get("bbx")))
        lists += [
            (f"{QUERY}/{query}", gallery[place], name)
            for name in _LISTS
            for place in _places(where, name, truth.get(name), len(gallery))
        ]
    items = [_image(f"{QUERY}/{name}", QUERY, f"{FOLDER}/{name}.jpg") for name in queries]
    items += [_image(name, GALLERY, f"{FOLDER}/{name}.jpg") for name in gallery]
    items += [_image(path.rpartition(".")[0], GALLERY, path) for path in _distractors(declaration)]
    frame = without_digests(items)
    if declaration.crop_queries:
        frame[manifest.BOX] = pd.Series(boxes + [None] * (len(items) - len(boxes)), dtype=object)
    table = pd.DataFrame(lists, columns=["query", "item", "list"])
    judged = [revisited_judgements(table, setting).assign(setting=setting) for setting in GRADES]
    return Reading(frame, [], pd.concat(judged, ignore_index=True))


def _image(name: str, split: str, path: str) -> tuple:
    return name, "image", split, path, None, name, 0


def _names(file: Path, held: dict[str, Any], key: str) -> list[str]:
    names = held.get(key)
    if not (isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)):
        raise DatasetError(f"{file}: {key} is no list of names: name the set's pickle in `ground_truth`")
    return names


def _box(where: str, corners: Any) -> str:
    """The manifest's box of `bbx`: left, upper, right, lower, fractions of pixels."""
    try:
        box = " ".join(repr(float(side)) for side in np.asarray(corners).tolist())
        manifest.corners(box)
    except (TypeError, ValueError):  # of `float`; and the DatasetError of `corners`
        raise DatasetError(f"{where}: bbx {corners!r} is no box of four numbers: download it again") from None
    return box


def _places(where: str, name: str, held: Any, count: int) -> list[int]:
    """Places in the gallery; an empty array may be of floats."""
    places = np.asarray([] if held is None else held)
    if held is None or places.ndim != 1 or (places.size and places.dtype.kind not in "iu"):
        raise DatasetError(f"{where}: {name} is no list of whole numbers: download it again")
    if strange := [place for place in places.tolist() if not 0 <= place < count]:
        raise DatasetError(f"{where}: {name} has {strange[0]}, imlist {count} images: download it again")
    return places.astype(int).tolist()


def _distractors(declaration: Revisited) -> Sequence[str]:
    """Paths of the million other images; the list's names have their extension."""
    if declaration.distractors is None:
        return []
    folder = declaration.distractors
    file = require(declaration.root, f"{folder}/{DISTRACTORS}", "download it, or mend `distractors`")
    require(declaration.root, f"{folder}/{FOLDER}", "unpack the archives of distractors there")
    names = [line.strip() for line in read_text(file, "distractors").splitlines() if line.strip()]
    if not names:
        raise DatasetError(f"{file} is empty: it has a name a line; download it again")
    return [f"{folder}/{FOLDER}/{name}" for name in names]
