"""Declaration → manifest, whatever the layout."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from crossgap.datasets import composing, readers, simat, styles, vocabulary, world
from crossgap.datasets.checking import checked
from crossgap.datasets.checks import Checks
from crossgap.datasets.declared import Classified, DatasetError, Declaration, OnDisk, Simat, World
from crossgap.datasets.declared.embedded import COMPOSED
from crossgap.datasets.judgement_files import read_file
from crossgap.datasets.reading import Problem, Reading, without_digests
from crossgap.datasets.saying import doubts
from crossgap.prepared import judgements, manifest
from crossgap.prepared.composed import NOT_SETS, Composed
from crossgap.prepared.transformations import Transformations

_LOST = "judgement of an item that there is not: it is no query or not in the gallery"


class Prepared(NamedTuple):
    """A validated manifest, the table of what was set aside (`id`, `item`, `problem`), and further validated tables.

    `notes` are sentences on what was ignored, what was decided by default, and what looks like a mistake.
    """

    items: pd.DataFrame
    problems: pd.DataFrame
    judgements: pd.DataFrame | None
    transformations: Transformations | None
    composed: Composed | None = None
    notes: tuple[str, ...] = ()


def prepare(
    declaration: Declaration,
    folder: Path,
    workers: int = 8,
    *,
    kept: Path | None = None,
    rehash: bool = False,
) -> Prepared:
    """Read and check a declared dataset.

    Args:
        folder: existing; where a generated dataset puts its images.
        kept: the file of what was found in images before (`Checks`): what hasn't changed since is not read again.
        rehash: read every image, whatever its size and times.

    Raises:
        DatasetError: the data, its vocabulary, judgements or controls can't be used as declared, or its
            items make no valid manifest.
    """
    judged = asked = composed = None
    notes: tuple[str, ...] = ()
    if isinstance(declaration, World):
        names = vocabulary.names(declaration.vocabulary, declaration.seed)
        items = world.write(folder, declaration.seed, declaration.images)
        problems = pd.DataFrame(columns=Problem._fields)
    elif isinstance(declaration, Simat):
        names = vocabulary.names(declaration.vocabulary)
        items, problems, asked = _simat(declaration, Checks(declaration.root, kept, rehash), workers)
    else:
        names = vocabulary.names(declaration.vocabulary)
        reading = readers.read(declaration, folder)
        checks = Checks(declaration.images_root(folder), kept, rehash)
        items, problems = checked(declaration, reading, checks, workers)
        if reading.composed is not None:
            composed, items, problems = composing.of_items(reading.composed, items, problems)
        judged, problems = _judgements(declaration, reading, items, problems)
        notes = (*reading.notes, *doubts(declaration, items))
    _check_controls(declaration, items, judged)
    if composed is None:
        rows, composed, more = asked_by_labels(declaration, items)
        items, notes = pd.concat([items, rows]), (*notes, *more)
    unwanted = styles.names(declaration.styles, declaration.vocabulary)
    whole = manifest.validate(pd.concat([items, vocabulary.rows(names), styles.rows(unwanted)]))
    return Prepared(whole, problems, judged, asked, composed, notes)


def asked_by_labels(
    declaration: Declaration, items: pd.DataFrame
) -> tuple[pd.DataFrame, Composed | None, tuple[str, ...]]:
    """Composed queries that `controls.composed` asks of labelled items: rows of their texts, the tables, and notes."""
    texts = declaration.controls.composed
    if texts is None and isinstance(declaration, World):
        texts = COMPOSED
    none = without_digests([]).assign(digest=[])
    if not texts:
        return none, None, ()
    rows, tables, cut = composing.by_labels(
        items, declaration.retrieval.query, texts, _names(declaration, items)
    )
    if tables.asked.empty:
        return none, None, ("controls.composed asks for nothing: no two images differ by one label alone",)
    frame = without_digests(rows)
    most = f"at most {composing.MOST} are asked, with {composing.ANSWERS} answers together"
    notes = (f"{cut} composed queries are left out: {most}",) if cut else ()
    return frame.assign(digest=frame["text"].map(manifest.text_digest)), tables, notes


def _names(declaration: Declaration, items: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Labelling → label → what its class prompts call it, or the embedded world."""
    if isinstance(declaration, World):
        return {
            factor: {label: said[0] for label, said in values.items()}
            for factor, values in world.SYNONYMS.items()
        }
    if not isinstance(declaration, Classified):
        return {}
    before, after = declaration.templates[0].split("{}")
    prompts = items[(items["split"] == manifest.CLASSES) & (items["rank"] == 0)]
    names = prompts["text"].str[len(before) :].str.removesuffix(after)
    return {
        labelling: dict(zip(of[of.notna()], names[of.notna()], strict=True))
        for labelling in manifest.labellings(items)
        for of in [prompts[manifest.LABEL + labelling]]
    }


def _simat(
    declaration: Simat, checks: Checks, workers: int
) -> tuple[pd.DataFrame, pd.DataFrame, Transformations]:
    """Items, problems, and the transformations of regions that were not set aside."""
    known = simat.regions(declaration.tables)
    asked = simat.transformations(declaration.tables, known)
    items, problems = checked(declaration, simat.reading(declaration, known, asked), checks, workers)
    texts = {word: simat.word_id(word) for word in simat.words(asked)}
    return items, problems, simat.of_items(asked, manifest.select(items, "image")["id"], texts)


def _judgements(
    declaration: OnDisk, reading: Reading, items: pd.DataFrame, problems: pd.DataFrame
) -> tuple[pd.DataFrame | None, pd.DataFrame]:
    """The judgements of items that were not set aside, from the set itself or from the user's file; and the problems.

    Judgements of unknown items are added to the problems where these are set aside.
    """
    file = getattr(declaration, "judgements", None)
    table = reading.judgements if file is None else read_file(file)
    if table is None:
        return None, problems
    gone = set(problems["id"]) - set(items["id"])
    table = table[~table["query"].isin(gone) & ~table["item"].isin(gone)]
    splits = (declaration.retrieval.query, declaration.retrieval.gallery)
    queries, gallery = (items.loc[items["split"] == split, "id"] for split in splits)
    if declaration.on_problem == "set_aside":
        lost = judgements.unknown(table, queries, gallery)
        found = [
            Problem(f"{row.query} {row.item}", f"judgement {row.query}, {row.item}", _LOST)
            for row in table[lost].itertuples()
        ]
        more = pd.DataFrame(found, columns=Problem._fields, dtype=object)
        problems = pd.concat([problems, more], ignore_index=True) if found else problems
        table = table[~lost]
    try:
        return judgements.validate(table, queries, gallery), problems
    except DatasetError as error:
        unknown = not table.empty and judgements.unknown(table, queries, gallery).any()
        remedy = (
            "\nMend them, or declare `on_problem: set_aside` to go on without those of no item."
            if unknown
            else ""
        )
        raise DatasetError(f"{file or declaration.root}: {error}{remedy}") from None


def _check_controls(declaration: Declaration, items: pd.DataFrame, judged: pd.DataFrame | None) -> None:
    """Check that what controls name exists, and that no two kinds of relevance have one name."""
    names = ["group", *manifest.labellings(items), *declaration.controls.subsets]
    names += [] if judged is None else judged["setting"].unique().tolist()
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetError(
            f"relevances named twice: {', '.join(twice)}: labellings, subsets and settings of judgements need "
            "different names"
        )
    for name, confined in declaration.controls.subsets.items():
        ((labelling, classes),) = confined.items()
        known = sorted(_labels(items, f"controls.subsets.{name}", labelling).unique())
        if unknown := [one for one in classes if one not in known]:
            raise DatasetError(
                f"controls.subsets.{name}: {labelling} has no class {', '.join(unknown)}; it has {', '.join(known)}"
            )
    for labelling in declaration.controls.composed or ():
        if labelling in NOT_SETS:
            raise DatasetError(
                f"controls.composed.{labelling}: the numbers of all queries are called so: name the labelling otherwise"
            )
        asking = manifest.select(items, "image", declaration.retrieval.query)
        _labels(asking, f"controls.composed.{labelling}", labelling)
    prompts = items[items["split"] == manifest.CLASSES]
    for changed, kept in declaration.controls.arithmetic.items():
        field = f"controls.arithmetic.{changed}"
        images = manifest.select(items, "image", declaration.retrieval.query)
        _labels(images, field, kept)
        named = _labels(prompts, field, changed)
        if silent := sorted(set(_labels(images, field, changed)) - set(named)):
            raise DatasetError(
                f"{field}: no class prompt names {', '.join(silent)}: what stands for it is its text"
            )


def _labels(items: pd.DataFrame, field: str, labelling: str) -> pd.Series:
    """The labels that items have by a labelling; `field` is what asks for it."""
    column = manifest.LABEL + labelling
    labels = items[column].dropna() if column in items else pd.Series([], dtype=object)
    if labels.empty:
        held = ", ".join(name for name in manifest.labellings(items) if items[manifest.LABEL + name].any())
        raise DatasetError(f"{field}: no labelling {labelling!r}; labellings: {held or 'none'}")
    return labels
