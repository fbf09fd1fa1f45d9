"""SIMAT's own files (Couairon et al., arXiv 2112.03162): regions of Visual Genome, and transformations asked of them.

They are read as github.com/facebookresearch/SIMAT holds them in `simat_db`:

- `triplets.csv`: the regions, which are both queries and gallery, each with its row in the matrix (`dataset_id`; the
  column of this name in `transfos.csv` is another numbering, and is not read);
- `retrieval_db.tsv`: of each region, the image and the `bbox` that is cut out of it;
- `transfos.csv`: of a region, the word `value` to be replaced by the word `target`, the number of the caption that
  describes the answer (`target_ids`), how many transformations start from that word (`norm2`), and `is_test`;
- `oscar_similarity_matrix.pt`, or its array as `.npy` or `.npz`: of each region and each caption. A region shows a
  caption where OSCAR's similarity is above 0.5.

Words are encoded bare, as SIMAT does: they are the class prompts of the labelling `word`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from crossgap.datasets.declared import DatasetError, Simat
from crossgap.datasets.paths import image_paths
from crossgap.datasets.reading import ManifestRow, Problem, Reading, without_digests
from crossgap.datasets.text_files import rows
from crossgap.errors import listed, of_machine
from crossgap.prepared import manifest
from crossgap.prepared.transformations import Transformations, validate

TRIPLETS, REGIONS, TRANSFORMATIONS = "triplets.csv", "retrieval_db.tsv", "transfos.csv"
MATRIX = tuple(f"oscar_similarity_matrix{ending}" for ending in (".pt", ".npy", ".npz"))
LABELLING = "word"
SHOWN = 0.5
_SPLITS = {"False": "dev", "True": "test"}


def word_id(word: str) -> str:
    """Id of a word's class prompt."""
    return f"{manifest.CLASSES}/{LABELLING}/{word}#0"


def regions(folder: Path) -> list[str]:
    """Ids of the regions, in the order of the matrix's rows.

    Raises:
        DatasetError: the table can't be read or is malformed, or its `dataset_id` don't number the regions from 0.
    """
    file = folder / TRIPLETS
    at: dict[int, str] = {}
    for line, (region, row) in rows(file, "tables", ("region_id", "dataset_id")):
        number = _whole(file, line, "dataset_id", row)
        if number in at:
            raise DatasetError(
                f"{file} line {line}: dataset_id {number} is that of region {at[number]} already"
            )
        at[number] = region
    if sorted(at) != list(range(len(at))):
        raise DatasetError(
            f"{file}: dataset_id doesn't number the {len(at)} regions from 0: take SIMAT's own file"
        )
    if len(set(at.values())) < len(at):
        raise DatasetError(f"{file}: a region is there twice: take SIMAT's own file")
    return [at[number] for number in range(len(at))]


def transformations(folder: Path, known: list[str]) -> Transformations:
    """What is asked of the regions, `source` and `target` being words.

    Args:
        known: as of `regions`.

    Raises:
        DatasetError: a file can't be read, is malformed or of the wrong shape, or names an unknown region.
    """
    file = folder / TRANSFORMATIONS
    columns = ("region_id", "value", "target", "target_ids", "norm2", "is_test")
    found = []
    held = set(known)
    for line, (region, value, target, caption, norm, is_test) in rows(file, "tables", columns):
        if region not in held:
            raise DatasetError(
                f"{file} line {line}: {TRIPLETS} has no region {region!r}: take both from SIMAT"
            )
        if not value or not target:
            raise DatasetError(f"{file} line {line}: value or target is no word: take SIMAT's own file")
        if is_test not in _SPLITS:
            raise DatasetError(f"{file} line {line}: is_test is {is_test!r}: it is True or False")
        number = _whole(file, line, "target_ids", caption)
        if not (count := _whole(file, line, "norm2", norm)):
            raise DatasetError(f"{file} line {line}: norm2 is 0: it counts transformations, this one too")
        found.append((region, value, target, number, count**-0.5, _SPLITS[is_test]))
    if not found:
        raise DatasetError(f"{file} has a header and no rows: take SIMAT's own file")
    table = pd.DataFrame(found, columns=["image", "source", "target", "caption", "weight", "split"])
    asked = np.unique(table["caption"])
    matrix = _matrix(folder, len(known), int(asked[-1]))
    at, which = np.nonzero(matrix[:, asked] > SHOWN)
    answers = pd.DataFrame({"caption": asked[which].astype(str), "image": np.array(known, object)[at]})
    return Transformations(table.assign(caption=table["caption"].astype(str)), answers)


def sources(folder: Path) -> list[Path]:
    """The files behind `regions` and `transformations`.

    Raises:
        DatasetError: there is no matrix.
    """
    return [folder / TRIPLETS, folder / TRANSFORMATIONS, _matrix_file(folder)]


def words(asked: Transformations) -> list[str]:
    """Every word that is taken off or put in, sorted."""
    return sorted({*asked.table["source"], *asked.table["target"]})


def of_items(asked: Transformations, images: Iterable[str], texts: Mapping[str, str]) -> Transformations:
    """The transformations of images that there are, by the ids of texts, validated.

    Args:
        asked: as of `transformations`.
        images: ids.
        texts: word → id.

    Raises:
        DatasetError: no text for a word, or no transformation is left.
    """
    if lacking := [word for word in words(asked) if word not in texts]:
        raise DatasetError(
            f"SIMAT: no text for the words {listed(lacking)}: encode all {len(words(asked))}, bare"
        )
    images = list(images)
    table, answers = asked.of(images)
    table = table.assign(**{name: table[name].map(texts) for name in ("source", "target")})
    return validate(Transformations(table, answers), images, texts.values())


def reading(declaration: Simat, known: list[str], asked: Transformations) -> Reading:
    """The regions with their boxes, in the matrix's order, and the words; no image is opened yet.

    Args:
        known: as of `regions`.
        asked: as of `transformations`.

    Raises:
        DatasetError: the root holds no images, or `retrieval_db.tsv` is malformed or lacks a region.
    """
    file, places = declaration.tables / REGIONS, {}
    for line, (region, image, box) in rows(file, "tables", ("region_id", "image_id", "bbox")):
        try:
            places[region] = image, " ".join(map(repr, manifest.corners(box.replace(",", " "))))
        except DatasetError as error:
            raise DatasetError(f"{file} line {line}: bbox of region {region}: {error}") from None
    if lacking := [region for region in known if region not in places]:
        raise DatasetError(f"{file} lacks the regions {listed(lacking)} of {TRIPLETS}: take both from SIMAT")

    paths = _by_name(image_paths(declaration.root))
    items: list[ManifestRow] = []
    boxes: list[str | None] = []
    problems: list[Problem] = []
    for region in known:
        image, box = places[region]
        if len(paths[image]) == 1:
            items.append((region, "image", "test", paths[image][0], None, region, 0))
            boxes.append(box)
        else:
            several = f"ambiguous image: {' or '.join(paths[image][:2])}"
            problem = several if paths[image] else f"no image: nothing under the root is named {image}.jpg"
            problems.append(Problem(region, f"{REGIONS}: region {region}", problem))
    asked_for = words(asked)
    items += [(word_id(word), "text", manifest.CLASSES, None, word, None, 0) for word in asked_for]
    frame = without_digests(items)
    frame[manifest.BOX] = boxes + [None] * len(asked_for)
    frame[manifest.LABEL + LABELLING] = [None] * len(boxes) + asked_for
    return Reading(frame, problems)


def _by_name(paths: Iterable[str]) -> dict[str, list[str]]:
    """Visual Genome comes in two folders: a file's name without its ending says which image it is."""
    named = defaultdict(list)
    for path in paths:
        named[os.path.splitext(os.path.basename(path))[0]].append(path)
    return named


def _whole(file: Path, line: int, name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise DatasetError(f"{file} line {line}: {name} is {value!r}: it is a whole number from 0")
    return int(value)


def _matrix(folder: Path, regions: int, last: int) -> np.ndarray:
    """OSCAR's similarities `(regions, captions)`, with a column for the caption `last` at least."""
    file = _matrix_file(folder)
    try:
        matrix = _array(file)
    # torch and NumPy have many for a damaged file, and advice to run what is in it
    except Exception as error:
        if of_machine(error):
            raise
        raise DatasetError(
            f"{file} can't be read as one array of numbers: it is damaged, or holds other objects, which are never "
            "loaded: take SIMAT's own file"
        ) from None
    if matrix.ndim != 2 or matrix.shape[0] != regions or matrix.shape[1] <= last:
        raise DatasetError(
            f"{file} has shape {matrix.shape}: {TRIPLETS} and {TRANSFORMATIONS} ask for {regions} rows, one a region, "
            f"and {last + 1} columns or more, one a caption"
        )
    if not np.isfinite(matrix).all():
        raise DatasetError(f"{file} holds NaN or infinity: take SIMAT's own file")
    return matrix


def _matrix_file(folder: Path) -> Path:
    file = next((folder / name for name in MATRIX if (folder / name).is_file()), None)
    if file is None:
        raise DatasetError(f"tables: {folder} holds none of {', '.join(MATRIX)}: copy SIMAT's simat_db whole")
    return file


def _array(file: Path) -> np.ndarray:
    if file.suffix == ".pt":
        import torch

        return torch.load(file, map_location="cpu", weights_only=True).double().numpy()
    array = np.load(file, allow_pickle=False)
    if file.suffix == ".npz":
        (array,) = array.values()
    if array.dtype.kind not in "fiu":
        raise ValueError(f"it holds {array.dtype}")
    return array
