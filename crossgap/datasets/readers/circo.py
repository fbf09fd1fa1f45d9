"""CIRCO (Baldrati et al., ICCV 2023): COCO's unlabelled images, with several answers a composed query."""

from __future__ import annotations

from pathlib import Path

from crossgap.datasets.composing import Query, of_queries
from crossgap.datasets.declared import Circo, DatasetError
from crossgap.datasets.readers.named import read_content, read_json, values
from crossgap.datasets.readers.stems import by_stem
from crossgap.datasets.reading import Reading
from crossgap.prepared.composed import RELEVANT, TARGET


def read(declaration: Circo, _folder: Path) -> Reading:
    """The images of COCO's list, by COCO's numbers as ids, and the queries with all their answers.

    `shared_concept` and `semantic_aspects` are not read.

    Raises:
        DatasetError: a file is missing or malformed, the list has an image twice, queries have no answers (those of the
            test split have none), or name an image that the list lacks.
    """
    file = declaration.root / declaration.images
    (listed,) = read_json(file, "images", "images")
    names: dict[str, str] = {}
    stems: dict[str, int] = {}
    for number, row in enumerate(listed):
        key, name = values(file, f"images[{number}]", row, id=int, file_name=str)
        stem = name.rpartition("/")[2].rpartition(".")[0]
        if names.setdefault(str(key), stem) != stem or stems.setdefault(stem, key) != key:
            raise DatasetError(f"{file}: images[{number}] has id {key} and name {name!r}, one of them twice")
    file = declaration.root / declaration.queries
    queries = []
    for number, row in enumerate(read_content(file, "queries", list)):
        where = f"[{number}]"
        if isinstance(row, dict) and "gt_img_ids" not in row:
            raise DatasetError(
                f"{file}: {where} has no gt_img_ids: the answers of the test split are not public"
            )
        kinds: dict[str, type] = {
            "id": int,
            "reference_img_id": int,
            "target_img_id": int,
            "gt_img_ids": list,
        }
        own, reference, target, answers, text = values(file, where, row, **kinds, relative_caption=str)
        images = [str(image) for image in dict.fromkeys([target, *answers])]
        if strangers := [image for image in (str(reference), *images) if image not in names]:
            raise DatasetError(
                f"{file}: {where} names image {strangers[0]}, which {declaration.images} lacks"
            )
        judged = [(image, RELEVANT if place else TARGET) for place, image in enumerate(images)]
        queries.append(Query(str(own), str(reference), [text], judged))
    paths = by_stem(declaration.root, names.values())
    return of_queries({key: ("val", paths[name]) for key, name in names.items()}, queries)
