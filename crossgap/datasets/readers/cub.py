"""CUB-200-2011 (Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, 2011)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crossgap.datasets.declared import Cub, DatasetError
from crossgap.datasets.readers.lists import reading, require, table
from crossgap.datasets.reading import Listed, Problem, Reading, caption_ids, lines, without_digests
from crossgap.datasets.text_files import read_text
from crossgap.errors import listed
from crossgap.prepared import manifest

_SPLITS = {"1": "train", "0": "test"}


def read(declaration: Cub, _folder: Path) -> Reading:
    """Images by number, labelled as `classes.txt` has them, `001.Black_footed_Albatross`: "Black footed Albatross".

    With `captions` each image has its ten, and one without any is a problem.

    Raises:
        DatasetError: a list or the images' folder is missing, a line is malformed, lists are not of the same images,
            or what `crossgap.datasets.readers.lists.reading` raises.
    """
    root = declaration.root
    require(root, "images")
    paths = _by_number(root, "images.txt", "image path")
    classes = _by_number(root, "classes.txt", "class name")
    labels = _of_images(root, "image_class_labels.txt", "image class", paths, classes)
    splits = dict.fromkeys(paths, "all")
    if declaration.official_split:
        splits = _of_images(root, "train_test_split.txt", "image is_training", paths, _SPLITS)
    images = [Listed(f"images/{path}", splits[image], labels[image]) for image, path in paths.items()]
    names = {label: label.split(".", 1)[-1].replace("_", " ") for label in classes.values()}
    found = reading(declaration, images, names)
    return found if declaration.captions is None else _captioned(found, require(root, declaration.captions))


def _captioned(found: Reading, folder: Path) -> Reading:
    """With the lines of `<class>/<image>.txt` as each image's captions, which have its label."""
    pictures = found.frame[found.frame["modality"] == "image"]
    label = manifest.LABEL + "class"
    rows, labels, problems = [], [], []
    for image, split, path, of in zip(
        *(pictures[name] for name in ("id", "split", "path", label)), strict=True
    ):
        file = folder / Path(path).relative_to("images").with_suffix(".txt")
        texts = lines(read_text(file, "captions")) if file.is_file() else []
        if not texts:
            problems.append(Problem(image, path, f"image without caption: {file} is not there, or is empty"))
        named = zip(caption_ids(image, texts), texts, strict=True)
        rows += [(name, "text", split, None, text, image, rank) for rank, (name, text) in enumerate(named)]
        labels += [of] * len(texts)
    captions = without_digests(rows)
    captions[label] = pd.Series(labels, dtype=object)
    left_out = {problem.id for problem in problems}
    kept = found.frame[~found.frame["id"].isin(left_out)]
    return found._replace(
        frame=pd.concat([kept, captions], ignore_index=True), problems=[*found.problems, *problems]
    )


def _by_number(root: Path, name: str, form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    file = require(root, name)
    for line, (number, value) in table(file, form):
        if number in found:
            raise DatasetError(f"{file} line {line}: {number} is there already: unpack the archive again")
        found[number] = value
    return found


def _of_images(
    root: Path, name: str, form: str, paths: dict[str, str], values: dict[str, str]
) -> dict[str, str]:
    """Number of an image → what the value in its line stands for."""
    found = _by_number(root, name, form)
    if other := sorted(found.keys() ^ paths.keys()):
        raise DatasetError(
            f"{root / name} and images.txt differ in {len(other)} images ({listed(other)}): unpack the archive again"
        )
    if unknown := sorted(set(found.values()) - set(values)):
        raise DatasetError(
            f"{root / name} has {form.split()[1]} {listed(unknown)}, it may be {listed(values)}: "
            "unpack the archive again"
        )
    return {image: values[value] for image, value in found.items()}
