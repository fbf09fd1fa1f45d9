"""CIRR (Liu et al., ICCV 2021): an image of a set of six, and what is to differ in another of them."""

from __future__ import annotations

from pathlib import Path

from crossgap.datasets.composing import Query, of_queries
from crossgap.datasets.declared import Cirr, DatasetError
from crossgap.datasets.readers.named import read_content, values
from crossgap.datasets.readers.stems import by_stem
from crossgap.datasets.reading import Reading
from crossgap.prepared.composed import IGNORED, MEMBER, TARGET


def read(declaration: Cirr, _folder: Path) -> Reading:
    """The images of `split.rc2.<split>.json` and the queries of `cap.rc2.<split>.json`; ids are the set's own.

    Recall counts the image `target_hard` alone, as the set's evaluation does; `target_soft` is not read.

    Raises:
        DatasetError: a file is missing or malformed, or a query names an image that the list lacks.
    """
    folder = declaration.root / declaration.annotations
    ending = f"{declaration.version}.{declaration.split}.json"
    file = folder / "image_splits" / f"split.{ending}"
    named = read_content(file, "image_splits", dict)
    paths = by_stem(declaration.root, named)
    file = folder / "captions" / f"cap.{ending}"
    queries = []
    for number, row in enumerate(read_content(file, "captions", list)):
        where = f"[{number}]"
        kinds: dict[str, type | tuple[type, ...]] = {"pairid": int, "reference": str, "target_hard": str}
        pair, reference, target, caption, six = values(file, where, row, **kinds, caption=str, img_set=dict)
        (members,) = values(file, f"{where}.img_set", six, members=list)
        if strangers := [name for name in (reference, target, *members) if name not in named]:
            raise DatasetError(
                f"{file}: {where} names {strangers[0]!r}, which image_splits lacks: take both files"
            )
        judged = [(target, TARGET), (reference, IGNORED)]
        judged += [(name, MEMBER) for name in dict.fromkeys(members) if name != reference]
        queries.append(Query(str(pair), reference, [caption], judged))
    return of_queries({name: (declaration.split, path) for name, path in paths.items()}, queries)
