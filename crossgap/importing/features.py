"""Arrays → feature store: groups are checked against each other and written, with where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossgap import fingerprint
from crossgap.datasets import composed_file, simat
from crossgap.datasets.judgement_files import read_file
from crossgap.datasets.labels import whole
from crossgap.errors import listed
from crossgap.importing.columns import complete
from crossgap.importing.files import ARRAYS, Assignment, FeatureImportError
from crossgap.naming import MODALITIES, called, roles
from crossgap.prepared import composed, judgements
from crossgap.prepared.manifest import CLASSES, COMPOSED, LABEL, RESERVED
from crossgap.prepared.transformations import Transformations
from crossgap.stores import store, writing


def import_features(
    assignments: list[Assignment],
    path: str | Path,
    *,
    backbone: str,
    dataset: str,
    note: str = "",
    paired: bool = False,
    judged: str | Path | None = None,
    simat_tables: str | Path | None = None,
    composed_queries: str | Path | None = None,
    scratch: str | Path,
) -> store.Store:
    """Write the feature store at `path` from arrays.

    Items without ids are named `<modality>/<split>/<row>`. The captions of an image get the ranks 0, 1, 2, … in the
    order of the ranks given, or of their rows. A blank label, or -1, means no label. A label 1.0 becomes 1 where all
    labels of its labelling are whole numbers. Labels that `crossgap export` wrote stay as they stand. Whether a text
    was cut by its tokenizer (`truncated`) is true or false, or 1 or 0.

    The groups of the store are called by the roles of their modalities (`naming.roles`), whose names are kept in the
    provenance.

    Args:
        paired: row i of the second modality belongs to row i of the first, in every split that has both.
        judged: a file of explicit judgements, as `datasets.judgement_files.read_file` takes it.
        simat_tables: SIMAT's folder simat_db, with the transformations that are asked of its regions.
        composed_queries: a file of composed queries, as `datasets.composed_file.read_file` takes it, of images and of
            texts in `text/composed`.

    Raises:
        DatasetError: judgements, composed queries or tables of SIMAT that can't be used.
        FeatureImportError: files, keys or values that can't be used: lengths or widths that differ, NaN, ids given
            twice, a caption of an image that isn't there, class prompts without a class.
    """
    groups, modalities = _groups(assignments, paired)
    table = None if judged is None else _judged(judged, groups)
    asked = None if simat_tables is None else _asked(Path(simat_tables), groups)
    tables = None if composed_queries is None else _composed(composed_queries, groups)
    sources = [*_sources(assignments)]
    if judged is not None:
        sources.append(_source("judgements", Path(judged)))
    if composed_queries is not None:
        sources.append(_source("composed queries", Path(composed_queries)))
    if simat_tables is not None:
        sources += [_source("transformations", file) for file in simat.sources(Path(simat_tables))]
    provenance: dict[str, Any] = {
        "backbone": backbone,
        "dataset": dataset,
        "note": note,
        "imported_from": sources,
    }
    if modalities != MODALITIES:
        provenance["modalities"] = modalities
    provenance["fingerprint"] = fingerprint.of_json([sources, paired] if paired else sources)
    Path(scratch).mkdir(parents=True, exist_ok=True)
    with writing.creating(path, scratch, provenance) as writer:
        for name, columns in sorted(groups.items()):
            arrays = {key: columns.pop(key) for key in ARRAYS if key in columns}
            writer.add(name, columns, _blocks(arrays))
        if table is not None:
            writer.add_judgements(table)
        if asked is not None:
            writer.add_transformations(asked)
        if tables is not None:
            writer.add_composed(tables)
    return store.open_store(path)


def shared_ids(held: store.Store) -> Iterator[str]:
    """A sentence for every two splits of a modality that have ids in common; those of concept names and class prompts
    aside.
    """
    groups = [name for name in held.groups if name.partition("/")[2] not in RESERVED]
    for one, other in combinations(groups, 2):
        if one.partition("/")[0] != other.partition("/")[0]:
            continue
        if same := sorted(set(held[one].ids) & set(held[other].ids)):
            yield (
                f"{len(same)} ids of {one} are in {other} too ({listed(same)}): equal ids are one item, which is left "
                f"out where it would find itself; if they are different items, give them other ids, by {one}:id"
            )


def _groups(
    assignments: list[Assignment], paired: bool
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """The columns of each group, by the roles of the modalities, and these by their roles."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    exact: dict[str, set[str]] = {}
    try:
        modalities = roles(assignment.group.partition("/")[0] for assignment in assignments)
    except ValueError as error:
        raise FeatureImportError(str(error)) from None
    role_of = {name: role for role, name in modalities.items()}
    for assignment in assignments:
        modality, _, split = assignment.group.partition("/")
        name = f"{role_of[modality]}/{split}"
        columns = groups.setdefault(name, {})
        if assignment.column in columns:
            raise FeatureImportError(f"{assignment.group}:{assignment.column} is given twice")
        columns[assignment.column] = assignment.load()
        if assignment.as_they_stand:
            exact.setdefault(name, set()).add(assignment.column)
    with _by_name(modalities):
        groups = {
            name: complete(name, columns, modalities, exact.get(name, ())) for name, columns in groups.items()
        }
        if paired:
            _pair(groups)
        _check_together(groups)
        _make_whole(groups, set().union(*exact.values()))
    return groups, modalities


def _sources(assignments: list[Assignment]) -> Iterator[dict[str, Any]]:
    """Where each array is from; a file that several are from is hashed once."""
    files = dict.fromkeys(file for assignment in assignments for file in assignment.files)
    hashes = {file: fingerprint.sha256_of_files([file]) for file in files}
    for one in assignments:
        for file in one.files:
            array = f"{one.group}:{one.column}"
            yield {"array": array, "file": file.name, "key": one.key, "sha256": hashes[file]}


def _source(array: str, file: Path) -> dict[str, Any]:
    return {"array": array, "file": file.name, "key": None, "sha256": fingerprint.sha256_of_files([file])}


@contextmanager
def _by_name(modalities: Mapping[str, str]) -> Iterator[None]:
    """An error speaks of modalities by their names."""
    try:
        yield
    except FeatureImportError as error:
        raise FeatureImportError(called(str(error), modalities)) from None


def _pair(groups: dict[str, dict[str, np.ndarray]]) -> None:
    """Row i of the second modality belongs to row i of the first."""
    splits = [name.partition("/")[2] for name in groups if name.startswith("image/")]
    both = [split for split in splits if f"text/{split}" in groups]
    if not both:
        raise FeatureImportError("--paired: no split has an image and a text group, whose rows are pairs")
    for split in both:
        first, second = groups[f"image/{split}"], groups[f"text/{split}"]
        if (second.get("group", np.array([""])) != "").any():
            raise FeatureImportError(f"text/{split}:group names pairs already: leave it or --paired out")
        if len(first["id"]) != len(second["id"]):
            raise FeatureImportError(
                f"--paired: image/{split} has {len(first['id'])} rows and text/{split} {len(second['id'])}: row i of "
                "both is a pair, so give as many, or name pairs by text/SPLIT:group"
            )
        second["group"], second["rank"] = first["id"], np.zeros(len(first["id"]), np.int64)


def _judged(file: str | Path, groups: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    """Judgements of the items, which they name by ids that are of one modality alone."""
    items: dict[str, dict[str, None]] = {role: {} for role in MODALITIES}
    for name, columns in groups.items():
        role, _, split = name.partition("/")
        if split not in RESERVED:
            items[role] |= dict.fromkeys(columns["id"])
    ids = [name for names in items.values() for name in names]
    table = judgements.validate(read_file(file), ids, ids)
    named = dict.fromkeys([*table["query"], *table["item"]])
    if both := [name for name in named if all(name in names for names in items.values())]:
        raise FeatureImportError(
            f"judgements name items by their ids alone, and {len(both)} of these are of an item of either modality "
            f"({listed(both)}): give those of one modality other ids, by MODALITY/SPLIT:id, here and in the "
            "judgements"
        )
    return table


def _composed(file: str | Path, groups: dict[str, dict[str, np.ndarray]]) -> composed.Composed:
    """Composed queries of the images and the texts that are there for them."""
    images = [columns["id"] for name, columns in groups.items() if name.startswith("image/")]
    texts = groups.get(f"text/{COMPOSED}", {}).get("id", np.empty(0, object))
    known = dict.fromkeys(one for ids in images for one in ids)
    return composed.validate(composed_file.read_file(file), known, texts)


def _asked(folder: Path, groups: dict[str, dict[str, np.ndarray]]) -> Transformations:
    """SIMAT's transformations of those of its regions that are among the images, by words among the class prompts."""
    images = [columns["id"] for name, columns in groups.items() if name.startswith("image/")]
    prompts = groups.get(f"text/{CLASSES}", {})
    words = prompts.get(LABEL + simat.LABELLING)
    if len(images) != 1 or words is None:
        raise FeatureImportError(
            "SIMAT needs its regions and its words, encoded bare: give image/test, image/test:id (region_id), "
            f"text/{CLASSES} and text/{CLASSES}:{LABEL}{simat.LABELLING}, and no other images"
        )
    known = simat.regions(folder)
    if other := sorted(set(images[0]) ^ set(known)):
        raise FeatureImportError(
            f"image:id: {len(other)} ids are in one of the features and SIMAT's {simat.TRIPLETS} alone, such as "
            f"{other[0]!r}: the gallery is all of its {len(known)} regions by their region_id, and nothing else"
        )
    texts = dict(zip(words, prompts["id"], strict=True))
    if len(texts) < len(words):
        raise FeatureImportError(f"text/{CLASSES}: a word is there twice: give each of SIMAT's words once")
    return simat.of_items(simat.transformations(folder, known), images[0], texts)


def _make_whole(groups: dict[str, dict[str, np.ndarray]], exact: set[str]) -> None:
    columns = {name for held in groups.values() for name in held if name.startswith(LABEL)}
    for column in columns - exact:
        having = [held for held in groups.values() if column in held]
        same = whole(label for held in having for label in held[column])
        for held in having:
            held[column] = np.array([same[label] for label in held[column]], dtype=object)


def _check_together(groups: dict[str, dict[str, np.ndarray]]) -> None:
    widths = {name: columns["features"].shape[1] for name, columns in groups.items()}
    if len(set(widths.values())) > 1:
        raise FeatureImportError(f"features of one backbone have one width, these have {widths}")
    for name, columns in groups.items():
        modality, _, split = name.partition("/")
        if modality == "text" and "group" in columns and f"image/{split}" in groups:
            strangers = sorted(set(columns["group"]) - set(groups[f"image/{split}"]["id"]) - {""})
            if strangers:
                raise FeatureImportError(
                    f"{name}:group names {len(strangers)} images that image/{split}:id lacks, such as {strangers[0]!r}"
                )


def _blocks(arrays: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(arrays["features"]), writing.ROWS_A_SHARD):
        yield {
            name: np.asarray(values[start : start + writing.ROWS_A_SHARD], np.float32)
            for name, values in arrays.items()
        }
