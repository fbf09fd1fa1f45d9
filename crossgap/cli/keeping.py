"""`crossgap status` and `crossgap clean`: which files lie under data, and which of them are no longer used."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossgap.cli import scripts, tables
from crossgap.cli.errors import explained
from crossgap.cli.scripts import Json
from crossgap.errors import CrossgapError
from crossgap.stores.temporary import readable

if TYPE_CHECKING:
    from crossgap.planning.cached import Waste

DATA, SCRATCH = Path("data"), Path("data/scratch")


def status(as_json: Json = False) -> None:
    """List the stores under data: their size, what made them, whether they are up to date, and what nothing uses.

    Example: crossgap status --json | jq '.stores[] | select(.state != "up to date").path'
    """
    from crossgap.params import load
    from crossgap.planning import cached, resolve
    from crossgap.planning.discarding import SET_ASIDE
    from crossgap.planning.pipeline import outdated
    from crossgap.stores.zipped import size

    with explained():
        params = load()
        if not Path("dvc.yaml").is_file():
            raise CrossgapError("there is no dvc.yaml here: go to the project's root")
        files = resolve.resolved(params, {})
        kept = cached.stores(
            params, DATA, outdated(Path(), resolve.changed(params, files, DATA / "resolved"))
        )
        waste = cached.wasted(params, files, DATA)
    scratch = size(SCRATCH) if SCRATCH.is_dir() else 0
    aside = DATA / SET_ASIDE
    if as_json:
        scripts.echo(
            {
                "stores": [vars(one) | {"path": one.path.as_posix()} for one in kept],
                "scratch_bytes": scratch,
                "set_aside_bytes": size(aside) if aside.is_dir() else 0,
                "unused": [vars(one) | {"path": one.path.as_posix()} for one in waste],
            }
        )
        return
    rows = [
        (one.path.relative_to(DATA).as_posix(), readable(one.bytes), one.state, one.made_by) for one in kept
    ]
    if rows:
        tables.show(("store", "size", "state", "made by"), rows)
    counts = Counter(one.state for one in kept)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    held = sum(one.bytes for one in kept)
    typer.echo(f"{len(kept)} stores, {readable(held)}{f': {states}' if states else ''}")
    typer.echo(f"scratch: {readable(scratch)}, which later runs go on from")
    if aside.is_dir():
        typer.echo(
            f"{aside}: {readable(size(aside))} that no run makes and DVC's cache lacks: yours to remove"
        )
    if waste:
        typer.echo(f"nothing names {_words(waste)}: `crossgap clean --dry-run` lists them")


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove what nothing uses and can be had again: outputs that DVC's cache holds, and work in scratch for no cell.

    Example: crossgap clean --dry-run
    """
    from crossgap.params import load
    from crossgap.planning import cached
    from crossgap.planning.discarding import Cache
    from crossgap.planning.resolve import resolved

    with explained():
        params, cache = load(), Cache()
        waste = cached.wasted(params, resolved(params, {}), DATA)
        found = {one: cached.why_left(one, DATA, cache) for one in waste}
        gone = [one for one, left in found.items() if left is None]
        for (folder, why), some in _grouped(gone):
            many = f" ({len(some)} files)" if len(some) > 1 else ""
            typer.echo(f"{folder}{many}  {readable(sum(one.bytes for one in some))}  {why}")
        if not dry_run:
            cached.clean(gone, DATA)
    for one, left in found.items():
        if left is not None:
            typer.echo(f"left: {one.path}  {readable(one.bytes)}  {one.why}, but {left}")
    typer.echo(f"{'would remove' if dry_run else 'removed'} {_words(gone)}")


def _grouped(waste: list[Waste]) -> Iterable[tuple[tuple[Path, str], list[Waste]]]:
    """Waste in groups: the parts of one evaluation together, every other path alone."""
    found = defaultdict(list)
    for one in waste:
        path = one.path.parent if one.path.is_relative_to(SCRATCH / "evaluate") else one.path
        found[path, one.why].append(one)
    return found.items()


def _words(waste: list[Waste]) -> str:
    return f"{len(waste)} files and folders, {readable(sum(one.bytes for one in waste))}"
