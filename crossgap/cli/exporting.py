"""`crossgap export`: a store → files that other tools read."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from crossgap.cli.errors import explained

DATA = Path("data")


def export(
    cell: Annotated[
        str,
        typer.Argument(
            help="What is exported: BACKBONE/DATASET, or BACKBONE/DATASET/STORE for an inversion (nano/world/oti), or "
            "imports/NAME, or the path of a store."
        ),
    ],
    out: Annotated[str, typer.Argument(help="The folder to write, which is not there yet.")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="What is written: clip-retrieval (.npy and parquet), safetensors, parquet or lance.",
        ),
    ] = "clip-retrieval",
) -> None:
    """Write a cell's features into files of other tools; the command that brings them back is printed.

    Example: crossgap export nano/world out
    """
    from crossgap.exporting import export as exported
    from crossgap.stores.store import open_store

    with explained():
        path = store_of(cell)
        native = path.with_name("native.zarr.zip")
        of_items = open_store(native) if native.is_file() and native != path else None
        store = open_store(path)
        words = exported(store, format_, out, of_items)
    for file in sorted(path for path in Path(out).rglob("*") if path.is_file()):
        typer.echo(file)
    if words:
        typer.echo(f"\nTo bring them back: crossgap import NAME {shlex.join(words)}")
    tables = {
        "judgements (--judgements)": store.judgements,
        "composed queries (--composed)": store.composed,
        "transformations (--simat)": store.transformations,
    }
    if held := [name for name, table in tables.items() if table is not None]:
        typer.echo(f"\n{path} also has what is not written, and an import must be given: {', '.join(held)}")


def store_of(cell: str) -> Path:
    """The path of a store, of the words for it.

    Raises:
        CrossgapError: there is none; the message lists those that there are.
    """
    from crossgap.errors import CrossgapError, like, listed
    from crossgap.planning.written import ENDING, stores

    if cell.endswith(ENDING) and Path(cell).is_file():
        return Path(cell)
    first, *rest = cell.strip("/").split("/")
    found = DATA.joinpath("imports" if first == "imports" else f"features/{first}", *rest)
    found = found / f"native{ENDING}" if len(rest) == 1 else found.with_name(f"{found.name}{ENDING}")
    if ".." not in cell.split("/") and found.is_file():
        return found
    names = [
        str(path.relative_to(DATA)).removeprefix("features/").removesuffix(ENDING).removesuffix("/native")
        for path in stores(DATA)
    ]
    raise CrossgapError(
        f"{cell!r} is no store under {DATA}{like(cell, names)}; there are {listed(names, 20)}"
        if names
        else f"{cell!r} is no store, and there is none under {DATA}: `dvc repro` makes them, `dvc pull` brings them"
    )
