"""`crossgap verify`: whether what is kept is what was made, and what to do about what isn't."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossgap.cli import scripts, tables
from crossgap.cli.errors import explained
from crossgap.cli.scripts import Json


def verify(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Take what is damaged away, and say what makes exactly that again."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Read every output, DVC's copies of them, and the work in scratch, and compare all of it with its digests.

    Ends with 1 where something is damaged and not mended.

    Example: crossgap verify --repair && dvc repro
    """
    from crossgap.errors import CrossgapError
    from crossgap.planning import verifying
    from crossgap.planning.discarding import Cache

    data, cache = Path("data"), Cache()
    with explained():
        if not Path("dvc.yaml").is_file():
            raise CrossgapError("there is no dvc.yaml here: go to the project's root")
        found = list(verifying.verify(Path(), data, cache))
    if as_json:
        unmended = bool(found)
        if repair:
            with explained():
                unmended = bool(verifying.repair(found, data, cache)[1])
        scripts.echo(
            {
                "problems": [
                    {
                        "path": one.path.as_posix(),
                        "problem": one.problem,
                        "kind": one.kind,
                        "target": one.target,
                        "differs": one.differs,
                    }
                    for one in found
                ],
                "to_have_them_again": verifying.commands(found),
                "repaired": repair and not unmended,
            }
        )
        raise typer.Exit(1 if unmended else 0)
    if not found:
        typer.echo(
            "all that is here is what was made: outputs, DVC's copies of them, and the work in scratch"
        )
        return
    tables.show(("file", "what is wrong"), [(one.path.as_posix(), one.problem) for one in found])
    for line in verifying.warnings(found):
        typer.echo(f"\n{line}")
    commands = verifying.commands(found)
    if not repair:
        typer.echo("\n`crossgap verify --repair` takes them away, and says what makes them again")
        raise typer.Exit(1)
    with explained():
        done, left = verifying.repair(found, data, cache)
    typer.echo("\n" + "\n".join([*done, *(f"left {line}" for line in left)]))
    if commands:
        typer.echo(f"\nTo have them again: {' && '.join(commands)}")
    if left:
        raise typer.Exit(1)
