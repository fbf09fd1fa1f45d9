"""`crossgap import`: features computed elsewhere → a store."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossgap.cli import programs
from crossgap.cli.errors import explained
from crossgap.cli.splits import query_and_gallery

if TYPE_CHECKING:
    from crossgap.importing import Assignment
    from crossgap.stores.store import Store

IMPORTS = Path("data/imports")


def import_(
    name: Annotated[str, typer.Argument(help="The store's name: its folder in data/imports.")],
    arrays: Annotated[
        list[str] | None,
        typer.Argument(
            help="One for each array: MODALITY/SPLIT[:COLUMN]=FILE[:KEY], MODALITY being image, text or another of two."
        ),
    ] = None,
    clip_retrieval: Annotated[
        Path | None, typer.Option(help="A folder that `clip-retrieval inference` wrote, instead of arrays.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="The split that the clip-retrieval folder's items are of; test, if not given."),
    ] = None,
    backbone: Annotated[str, typer.Option(help="What the features were computed with.")] = "unknown",
    dataset: Annotated[
        str | None, typer.Option(help="What they were computed from, if not what the store is called.")
    ] = None,
    paired: Annotated[
        bool,
        typer.Option("--paired", help="Row i of both modalities is a pair, in every split that has both."),
    ] = False,
    judgements: Annotated[
        Path | None,
        typer.Option(
            help="Judgements by ids: CSV or TSV with the header query,item,grade[,setting], or TREC's qrels."
        ),
    ] = None,
    simat: Annotated[
        Path | None,
        typer.Option(help="SIMAT's folder simat_db, if the images are its regions."),
    ] = None,
    composed: Annotated[
        Path | None,
        typer.Option(
            help="Composed queries by ids: CSV with the header query,role,item[,set]; a query has one row whose role "
            "is image, its texts (text), and its answers (target, relevant); set is its gallery, whose images are "
            "candidate, without a query. help(crossgap.datasets.composed_file) says more."
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="Where the features come from; kept in the store.")] = "",
    force: Annotated[bool, typer.Option(help="Replace a store of this name.")] = False,
) -> None:
    """Bring features that were computed elsewhere into a feature store that DVC tracks.

    COLUMN is `features` if none is given, or `preprojection`, `id`, `rank`,
    `group` (the image a caption belongs to), `truncated` (whether the
    tokenizer cut a text), or `label.<labelling>`. Class prompts are
    `text/classes`, with a label each. Concept names that corrections are
    fitted on are `text/vocabulary` and, as "a photo of <name>",
    `text/vocabulary-photo`; names of styles are `text/styles`, and what
    composed queries ask `text/composed`. PCA⁺ alone depends on the lengths of
    rows: its paper fits it on texts that are not normalised.

    Any two modalities may be named in place of image and text, and tables
    use these names: the second is the one that has `group`.

    Example: crossgap import clasp --paired protein/test=clasp.npz:first text/test=clasp.npz:second

    Example: crossgap import b32-dtd image/test=dtd.npz:test_features image/test:label.class=dtd.npz:test_labels
    """
    from crossgap import importing
    from crossgap.datasets import NAME
    from crossgap.naming import called, group_called

    path = IMPORTS / name / "native.zarr.zip"
    with explained():
        if not re.fullmatch(NAME, name):
            raise importing.FeatureImportError(
                f"{name!r} is no name of a store: use letters, digits, - and _, 100 at most"
            )
        if path.exists() and not force:
            tracked = not Path(".dvc").is_dir() or _pointer(path.parent).exists()
            track = "" if tracked else f"let DVC track it with `dvc add {path.parent}`, "
            raise importing.FeatureImportError(
                f"{path} exists: {track}choose another name, or replace it with --force"
            )
        store = importing.import_features(
            _assignments(arrays or [], clip_retrieval, split),
            path,
            backbone=backbone,
            dataset=dataset or name,
            note=note,
            paired=paired,
            judged=judgements,
            simat_tables=simat,
            composed_queries=composed,
            scratch=Path("data/scratch/import"),
        )
    for group in store.groups:
        named = group_called(group, store.modalities)
        typer.echo(f"{named}: {len(store[group])} items, width {store[group].features.shape[1]}")
    for note in importing.shared_ids(store):
        typer.echo(f"  note: {called(note, store.modalities)}")
    with explained():
        typer.echo(_tracked(path.parent))
    _show_how_to_evaluate(name, store, {"backbone": backbone, "dataset": dataset or name})


def _assignments(arrays: list[str], clip_retrieval: Path | None, split: str | None) -> list[Assignment]:
    from crossgap.importing import Assignment, FeatureImportError, from_clip_retrieval

    if bool(arrays) == bool(clip_retrieval):
        raise FeatureImportError("give arrays or --clip-retrieval FOLDER, one of the two")
    if clip_retrieval:
        return from_clip_retrieval(clip_retrieval, split or "test")
    if split:
        raise FeatureImportError(
            f"--split {split} is of a clip-retrieval folder: of arrays say the split in each, as image/{split}=FILE"
        )
    return [Assignment.parse(text) for text in arrays]


def _show_how_to_evaluate(name: str, store: Store, row: dict[str, Any]) -> None:
    """What a store has beside its groups, and its row of params.yaml; nothing where no split can ask."""
    from crossgap.params.editing import entry
    from crossgap.prepared.manifest import RESERVED

    every = dict.fromkeys(group.partition("/")[2] for group in store.groups)
    splits = [split for split in every if split not in RESERVED]
    if not splits:
        return
    if store.judgements is not None:
        pairs = store.judgements
        typer.echo(f"judgements: {len(pairs)} of {pairs['query'].nunique()} queries")
        query, gallery = (_split_of(store, splits, pairs[name][0]) for name in ("query", "item"))
        why = "as the judgements say"
    else:
        query, gallery, why = _by_names(splits)
    if store.transformations is not None:
        typer.echo(f"transformations: {len(store.transformations.table)}")
    if store.composed is not None:
        typer.echo(f"composed queries: {store.composed.asked['query'].nunique()}")
    typer.echo(f"retrieval: queries of {query}, gallery of {gallery}, {why}")
    typer.echo(
        f"\nTo evaluate it: in params.yaml, name {name} in run.imports, put this row under `imports:`, and run "
        "`dvc repro`\n"
    )
    row = {**row, "retrieval": {"query": query, "gallery": gallery}}
    typer.echo("\n".join(entry(name, row, column=2)))


def _by_names(splits: list[str]) -> tuple[str, str, str]:
    """The split of the queries and that of the gallery, by their names, and a word on that."""
    found = query_and_gallery(splits)
    if found is None:
        return (
            "QUERY",
            "GALLERY",
            f"as their names don't tell: put one of {', '.join(splits)} in place of each",
        )
    if len(splits) == 1:
        return *found, "the only split"
    return *found, "by the names of the splits: mend the row if they are others"


def _tracked(folder: Path) -> str:
    """Let DVC track an import, and add DVC's pointer file to git, so that a team can share the import by a commit.

    Returns:
        What was done.

    Raises:
        FeatureImportError: DVC can't take it.
    """
    from crossgap.importing import FeatureImportError

    if not Path(".dvc").is_dir():
        return (
            f"DVC does not track {folder}: this is no project's root; `crossgap init FOLDER` makes a project"
        )
    pointer = _pointer(folder)
    added = programs.done([sys.executable, "-m", "dvc", "add", str(folder)])
    if added.returncode:
        raise FeatureImportError(
            f"the store is written, but `dvc add {folder}` failed: {programs.why(added)}"
        )
    try:
        in_git = programs.done(["git", "add", "--", str(pointer), str(folder.parent / ".gitignore")])
        why = in_git.stderr.strip() if in_git.returncode else ""
    except FileNotFoundError:
        why = "there is no git"
    if why:
        return f"{pointer} tracks the store, and git did not take it ({why}): `git add` it to share the store"
    return f"{pointer} is added to git: commit it, and `dvc push` shares the store"


def _pointer(folder: Path) -> Path:
    """DVC's file that tracks a folder."""
    return folder.with_name(f"{folder.name}.dvc")


def _split_of(store: Store, splits: list[str], item: str) -> str:
    """The split that has an item of this id."""
    groups = [(split, f"{modality}/{split}") for split in splits for modality in ("image", "text")]
    return next(split for split, group in groups if group in store and item in store[group].ids)
