"""`crossgap status` and `crossgap clean`: what is kept under data, and what of it nothing names any more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossgap.cli.explained import explained
from crossgap.temporary import readable

if TYPE_CHECKING:
    from crossgap.planning.cached import Waste

DATA, RESOLVED, SCRATCH = Path("data"), Path("data/resolved"), Path("data/scratch")


def status() -> None:
    """Say what is cached under data: each store, its size, what made it, its state; and what nothing names."""
    from crossgap.params import load
    from crossgap.planning import cached
    from crossgap.planning.pipeline import outdated
    from crossgap.zipped import size

    with explained():
        params = load()
        kept = cached.stores(params, DATA, outdated(Path()))
        waste = cached.wasted(params, DATA, RESOLVED)
    for one in kept:
        name = one.path.relative_to(DATA).as_posix()
        typer.echo(f"{name}  {readable(one.bytes)}  {one.state}\n    {one.made_by}")
    counts = Counter(one.state for one in kept)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    held = sum(one.bytes for one in kept)
    typer.echo(f"{len(kept)} stores, {readable(held)}{f': {states}' if states else ''}")
    typer.echo(f"scratch: {readable(size(SCRATCH) if SCRATCH.is_dir() else 0)}, to go on from and to grow by")
    if waste:
        typer.echo(f"nothing names {_words(waste)}: `crossgap clean --dry-run` lists them")


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed")] = False,
) -> None:
    """Remove what no cell of the run names: outputs of other runs (DVC's cache keeps theirs) and shards in scratch."""
    from crossgap.params import load
    from crossgap.planning import cached

    with explained():
        params = load()
        if not RESOLVED.is_dir():
            raise ValueError(f"{RESOLVED} is not there, so nothing can be told apart: run `dvc repro` first")
        waste = cached.wasted(params, DATA, RESOLVED)
        for one in waste:
            typer.echo(f"{one.path}  {readable(one.bytes)}  {one.why}")
        if not dry_run:
            cached.remove(waste)
    typer.echo(f"{'would remove' if dry_run else 'removed'} {_words(waste)}")


def _words(waste: list[Waste]) -> str:
    return f"{len(waste)} files and folders, {readable(sum(one.bytes for one in waste))}"
