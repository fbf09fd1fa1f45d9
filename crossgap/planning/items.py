"""How many items a dataset has: by its manifest where it was prepared, else by what its declaration says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crossgap import manifest
from crossgap.datasets import Declaration, Size, vocabulary
from crossgap.datasets.world_captions import CAPTIONS_PER_IMAGE, class_prompts
from crossgap.params import Params
from crossgap.planning.cells import Cell


@dataclass(frozen=True)
class Items:
    """Numbers of items.

    Attributes:
        images, texts: split → items, reserved splits of texts too.
        first: split → texts that are some image's first caption or no captions, those that OVI inverts.
        known_by: "manifest" or "declaration".
        distinct: modality → items with a content of their own; what is encoded.
    """

    images: dict[str, int]
    texts: dict[str, int]
    first: dict[str, int]
    known_by: str
    distinct: dict[str, int]

    def total(self, modality: str) -> int:
        return sum((self.images if modality == "image" else self.texts).values())


def of_manifest(frame: pd.DataFrame) -> Items:
    texts = frame[frame["modality"] == "text"]
    captions = texts["group"].notna().groupby(texts["split"]).transform("any")
    first = texts[~captions | (texts["rank"] == 0)]
    content = frame.assign(content=manifest.content(frame)).groupby("modality")["content"].nunique()
    return Items(
        images=_by_split(frame[frame["modality"] == "image"]),
        texts=_by_split(texts),
        first=_by_split(first),
        known_by="manifest",
        distinct=content.to_dict(),
    )


def of_declaration(declaration: Declaration) -> Items | None:
    """By the `sizes` that a declaration gives, and its vocabulary; of the embedded world, all. None if not known."""
    if declaration.layout == "world":
        images = dict(declaration.images)
        texts = {split: size * CAPTIONS_PER_IMAGE for split, size in images.items()}
        first, classes = images, len(class_prompts())
    else:
        sizes = declaration.sizes
        if queries := getattr(declaration, "queries", None):  # a text a class that asks for its documents
            sizes = {**sizes, "query": Size(texts=len(queries))}
        if not {declaration.retrieval.query, declaration.retrieval.gallery} <= set(sizes):
            return None
        images = {split: size.images for split, size in sizes.items() if size.images}
        texts = {split: size.texts for split, size in sizes.items() if size.texts}
        # texts beside images are their captions
        first = {split: min(number, images.get(split, number)) for split, number in texts.items()}
        prompts = len(getattr(declaration, "templates", ()))
        classes = prompts * max((size.classes or 0 for size in sizes.values()), default=0)
    reserved = {manifest.CLASSES: classes} if classes else {}
    if names := len(vocabulary.names(declaration.vocabulary, getattr(declaration, "seed", 0))):
        reserved |= dict.fromkeys(manifest.VOCABULARIES, names)
    distinct = {"image": sum(images.values()), "text": sum((texts | reserved).values())}
    return Items(images, texts | reserved, first | reserved, "declaration", distinct)


def of_datasets(params: Params, prepared: Path) -> dict[str, Items | None]:
    """Items of every dataset that is run, by name.

    Args:
        prepared: folder with one folder a dataset.
    """
    found = {}
    for name in params.run.datasets:
        if (prepared / name / manifest.FILE).is_file():
            found[name] = of_manifest(manifest.read(prepared / name))
        else:
            found[name] = of_declaration(params.datasets[name])
    return found


def inverted(cell: Cell, params: Params, items: Items) -> int:
    """How many items a cell inverts, chosen as its stage does."""
    retrieval = params.datasets[cell.dataset].retrieval
    gallery = getattr(params, cell.method).gallery
    if cell.method == "oti":
        numbers, splits = items.images, [retrieval.query, *([retrieval.gallery] if gallery else [])]
    else:
        numbers = items.texts if gallery and not cell.queries_only else items.first
        splits = [manifest.CLASSES, retrieval.query, *([retrieval.gallery] if gallery else [])]
    if cell.queries_only:
        splits = [retrieval.query]
    return sum(numbers.get(split, 0) for split in dict.fromkeys(splits))


def _by_split(rows: pd.DataFrame) -> dict[str, int]:
    return {str(split): int(number) for split, number in rows["split"].value_counts(sort=False).items()}
