"""FashionIQ (Wu et al., CVPR 2021): a garment, and two captions that say how another differs from it."""

from __future__ import annotations

from pathlib import Path

from crossgap.datasets.composing import Query, of_queries
from crossgap.datasets.declared import DatasetError, FashionIq
from crossgap.datasets.readers.named import read_content, values
from crossgap.datasets.readers.stems import by_stem
from crossgap.datasets.reading import Reading
from crossgap.prepared.composed import TARGET

_ENDS = ".?, "


def read(declaration: FashionIq, _folder: Path) -> Reading:
    """The images of `split.<category>.<split>.json` and the queries of `cap.<category>.<split>.json`.

    A query's two captions make two texts, "one and the other" and "the other and one", as SEARLE's evaluation has them:
    both without the marks at their ends. Ids of images are their ASIN; that of a query names both its images.

    Raises:
        DatasetError: a file is missing or malformed, a query has not two captions or is there twice, or names an image
            that its category's list lacks.
    """
    folder, split = declaration.root / declaration.annotations, declaration.split
    galleries: list[tuple[str, str]] = []
    queries: dict[str, Query] = {}
    for category in declaration.categories:
        ending = f"{category}.{split}.json"
        file = folder / "image_splits" / f"split.{ending}"
        garments = read_content(file, "image_splits", list)
        if wrong := [name for name in garments if not isinstance(name, str)]:
            raise DatasetError(f"{file} holds {wrong[0]!r}, which is no name of an image: download it again")
        known = set(garments)
        galleries += [(category, name) for name in dict.fromkeys(garments)]
        file = folder / "captions" / f"cap.{ending}"
        for number, row in enumerate(read_content(file, "captions", list)):
            where = f"[{number}]"
            asked, target, captions = values(file, where, row, candidate=str, target=str, captions=list)
            if len(captions) != 2 or not all(isinstance(text, str) for text in captions):
                raise DatasetError(f"{file}: {where} has captions {captions!r}: two are asked for")
            if strangers := [name for name in (asked, target) if name not in known]:
                raise DatasetError(
                    f"{file}: {where} names {strangers[0]!r}, which image_splits of {category} lacks: take both files"
                )
            name = f"{category}/{asked}/{target}"
            if name in queries:
                raise DatasetError(
                    f"{file}: {where} asks of {asked} for {target} a second time: download it again"
                )
            one, other = (text.strip(_ENDS) for text in captions)
            texts = [f"{one} and {other}", f"{other} and {one}"] if one and other else [one or other]
            queries[name] = Query(name, asked, texts, [(target, TARGET)], category)
    paths = by_stem(declaration.root, dict.fromkeys(name for _, name in galleries))
    images = {name: (split, path) for name, path in paths.items()}
    return of_queries(images, queries.values(), galleries)
