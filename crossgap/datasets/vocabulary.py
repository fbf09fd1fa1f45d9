"""Concept names that corrections are fitted on without labels (PCA⁺: text features of ImageNet's class names)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pandas as pd

from crossgap.datasets.declared import DatasetError
from crossgap.datasets.reading import ManifestRow, without_digests
from crossgap.datasets.text_files import read_text
from crossgap.datasets.world import FACTORS, SYNONYMS, combinations
from crossgap.errors import of_machine
from crossgap.libraries import folder_of
from crossgap.prepared import manifest

SIZE = 1000
_ORDER = ("size", "colour", "texture", "shape", "place", "background")
FORMS = {manifest.VOCABULARY: "{}", manifest.VOCABULARY_PHOTO: "a photo of {}"}


def names(vocabulary: str, seed: int = 0) -> list[str]:
    """The names of a declaration's `vocabulary`: `imagenet`, `world`, `none`, or a text file with a name a line.

    Args:
        seed: of the world.

    Raises:
        DatasetError: the file can't be read, is not UTF-8 or has no names; or open_clip holds no class names.
    """
    if vocabulary == "none":
        return []
    if vocabulary == "imagenet":
        return imagenet_names()
    if vocabulary == "world":
        return world_names(seed)
    lines = read_text(Path(vocabulary), "vocabulary").splitlines()
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise DatasetError(
            f"vocabulary {vocabulary} has no names: write one a line, or declare `vocabulary: none`"
        )
    return found


def imagenet_names() -> list[str]:
    """The 1000 class names of ImageNet as open_clip words them, two of them twice, without importing it."""
    file = folder_of("open_clip") / "zero_shot_metadata.py"
    try:
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            if (
                isinstance(statement, ast.Assign)
                and getattr(statement.targets[0], "id", "") == "IMAGENET_CLASSNAMES"
            ):
                return list(ast.literal_eval(statement.value))
    except (OSError, SyntaxError) as error:
        if of_machine(error):
            raise
        raise DatasetError(f"vocabulary: {file} can't be read: {error}") from None
    raise DatasetError(
        f"vocabulary: {file} has no IMAGENET_CLASSNAMES: name a text file instead of `imagenet`"
    )


def world_names(seed: int) -> list[str]:
    """The word of every value, then names of combinations, such as "small red dotted star on the left at night".

    `SIZE` names in all; combinations that are held out for the test split have none.
    """
    words = [[SYNONYMS[factor][value][0] for value in values] for factor, values in FACTORS.items()]
    plain = [word for factor in words for word in factor]
    places = [list(FACTORS).index(factor) for factor in _ORDER]
    scenes = combinations("train", seed)[: SIZE - len(plain)].tolist()
    return plain + [" ".join(words[place][scene[place]] for place in places) for scene in scenes]


def rows(names: list[str], forms: Mapping[str, str] = FORMS) -> pd.DataFrame:
    """The names as rows of a manifest; a repeated one has a number in its id.

    Args:
        forms: split → how a name is worded there; bare and as "a photo of <name>", if not given.
    """
    taken, met = set(names), set[str]()
    ids = []
    for name in names:
        if name in met:
            ids.append(next(own for number in count(2) if (own := f"{name}-{number}") not in taken))
            taken.add(ids[-1])
        else:
            ids.append(name)
            met.add(name)
    found: list[ManifestRow] = [
        (f"{split}/{name_id}", "text", split, None, form.replace("{}", name), None, rank)
        for split, form in forms.items()
        for rank, (name_id, name) in enumerate(zip(ids, names, strict=True))
    ]
    frame = without_digests(found)
    return frame.assign(digest=frame["text"].map(manifest.text_digest))
