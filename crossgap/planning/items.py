"""How many items a dataset has: by its manifest where it was prepared, else as declared, else by its files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from crossgap.datasets import Declaration, Size, readers, styles, vocabulary, world
from crossgap.datasets.declared import DatasetError, Exported, OnDisk, Simat
from crossgap.datasets.preparing import asked_by_labels
from crossgap.datasets.world_captions import CAPTIONS_PER_IMAGE, class_prompts
from crossgap.errors import CrossgapError
from crossgap.params import Params
from crossgap.planning.cells import StageCell
from crossgap.prepared import manifest


@dataclass(frozen=True)
class ItemCounts:
    """Numbers of items.

    Attributes:
        images, texts: split → items, reserved splits of texts too.
        first: split → texts that are some image's first caption or no captions, those that OVI inverts.
        known_by: "manifest", "declaration" or "files".
        distinct: modality → items with a content of their own; what is encoded.
        classes: modality/split → labelling → classes.
        captions: splits whose texts belong to images.
    """

    images: dict[str, int]
    texts: dict[str, int]
    first: dict[str, int]
    known_by: str
    distinct: dict[str, int]
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    captions: frozenset[str] = frozenset()

    def total(self, modality: str) -> int:
        return sum((self.images if modality == "image" else self.texts).values())


def of_manifest(frame: pd.DataFrame) -> ItemCounts:
    texts = frame[frame["modality"] == "text"]
    captions = texts["group"].notna().groupby(texts["split"]).transform("any")
    first = texts[~captions | (texts["rank"] == 0)]
    content = frame.assign(content=manifest.content(frame)).groupby("modality")["content"].nunique()
    return ItemCounts(
        images=_by_split(frame[frame["modality"] == "image"]),
        texts=_by_split(texts),
        first=_by_split(first),
        known_by="manifest",
        distinct=content.to_dict(),
        classes={
            f"{modality}/{split}": classes
            for (modality, split), rows in frame.groupby(["modality", "split"])
            if (classes := _classes(rows))
        },
        captions=frozenset(texts.loc[texts["group"].notna(), "split"].astype(str)),
    )


def of_declaration(declaration: Declaration) -> ItemCounts | None:
    """Counts by the declared `sizes` and names to fit on; all are known of the embedded world. None if not declared."""
    if declaration.layout == "world":
        images = dict(declaration.images)
        texts = {split: size * CAPTIONS_PER_IMAGE for split, size in images.items()}
        first, classes = images, len(class_prompts())
        factors = {name: len(values) for name, values in world.FACTORS.items()}
        labelled = {f"{modality}/{split}": factors for split in images for modality in ("image", "text")}
        labelled[f"text/{manifest.CLASSES}"] = factors
        captions = frozenset(images)
        asked, _, _ = asked_by_labels(declaration, world.labelled(declaration.seed, declaration.images))
    else:
        asked = ()  # texts of composed queries are not declared
        sizes = declaration.sizes
        if queries := getattr(declaration, "queries", None):  # a text a class that asks for its documents
            sizes = {**sizes, "query": Size(texts=len(queries))}
        if not {declaration.retrieval.query, declaration.retrieval.gallery} <= set(sizes):
            return None
        images = {split: size.images for split, size in sizes.items() if size.images}
        texts = {split: size.texts for split, size in sizes.items() if size.texts}
        # texts beside images are their captions
        first = {split: min(number, images.get(split, number)) for split, number in texts.items()}
        labelling = getattr(declaration, "labelling", "class")
        labelled = {
            f"{'image' if size.images else 'text'}/{split}": {labelling: size.classes}
            for split, size in sizes.items()
            if size.classes
        }
        captions = frozenset(set(images) & set(texts))
        prompts = len(getattr(declaration, "templates", ()))
        classes = prompts * max((size.classes or 0 for size in sizes.values()), default=0)
    reserved = {manifest.CLASSES: classes} if classes else {}
    if len(asked):
        reserved[manifest.COMPOSED] = len(asked)
    if names := len(vocabulary.names(declaration.vocabulary, getattr(declaration, "seed", 0))):
        reserved |= dict.fromkeys(manifest.VOCABULARIES, names)
    if unwanted := len(styles.names(declaration.styles, declaration.vocabulary)):
        reserved[manifest.STYLES] = unwanted
    distinct = {"image": sum(images.values()), "text": sum((texts | reserved).values())}
    if classes and declaration.layout != "world":
        labelled[f"text/{manifest.CLASSES}"] = {labelling: classes // prompts}
    return ItemCounts(images, texts | reserved, first | reserved, "declaration", distinct, labelled, captions)


def of_files(declaration: Declaration) -> ItemCounts:
    """Counts by what the dataset's reader lists. It opens no image, so damaged images, later left out, are counted too.

    Raises:
        DatasetError: files are missing or not as declared, or images have to be written out first.
    """
    if not isinstance(declaration, OnDisk) or isinstance(declaration, (Exported, Simat)):
        raise DatasetError(f"the layout {declaration.layout} is counted only while it is prepared")
    found = readers.read(declaration, Path()).frame
    names = vocabulary.rows(vocabulary.names(declaration.vocabulary))
    unwanted = styles.rows(styles.names(declaration.styles, declaration.vocabulary))
    frame = pd.concat([found, names, unwanted], ignore_index=True)
    return replace(of_manifest(frame.assign(digest=frame.index.astype(str))), known_by="files")


def of_datasets(params: Params, prepared: Path) -> tuple[dict[str, ItemCounts | None], dict[str, str]]:
    """Dataset → numbers of its items, for every dataset of the run; and dataset → why they are not known.

    Args:
        prepared: folder with one folder a dataset.
    """
    found: dict[str, ItemCounts | None] = {}
    reasons = {}
    for name in params.run.datasets:
        if (prepared / name / manifest.FILE).is_file():
            found[name] = of_manifest(manifest.read(prepared / name))
            continue
        found[name] = of_declaration(params.datasets[name])
        if found[name] is None:
            try:
                found[name] = of_files(params.datasets[name])
            except CrossgapError as error:
                reasons[name] = str(error)
    return found, reasons


def inverted(cell: StageCell, params: Params, items: ItemCounts) -> int:
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


def distilled(cell: StageCell, params: Params, items: ItemCounts) -> int:
    """How many items φ of a cell learns from, and those that its loss is measured on."""
    numbers = items.images if cell.method == "oti" else items.texts
    held = numbers.get(params.distilled_on(cell.method, cell.dataset) or "", 0)
    recipe = getattr(params.distil, cell.method)
    aside = round(recipe.held_out * held)
    return min(held - aside, recipe.items or held) + aside


def _classes(rows: pd.DataFrame) -> dict[str, int]:
    """Labelling → the classes that these rows have."""
    names = [name for name in rows if name.startswith(manifest.LABEL)]
    found = {name.removeprefix(manifest.LABEL): rows[name].nunique() for name in names}
    return {name: int(number) for name, number in found.items() if number}


def _by_split(rows: pd.DataFrame) -> dict[str, int]:
    return {str(split): int(number) for split, number in rows["split"].value_counts(sort=False).items()}
