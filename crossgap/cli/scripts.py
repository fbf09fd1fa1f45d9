"""What scripts want of a command: `--json`, one JSON value on stdout and nothing else there."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]


def echo(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def stand_behind(context: typer.Context) -> bool:
    """Whether a subcommand follows; options of the list that stand before it would be of no effect.

    Raises:
        BadParameter: there are such.
    """
    if not context.invoked_subcommand:
        return False
    for name in context.params:
        if getattr(context.get_parameter_source(name), "name", None) == "COMMANDLINE":
            option = "--json" if name == "as_json" else f"--{name}"
            raise typer.BadParameter(
                f"give {option} behind {context.invoked_subcommand}, which it would not reach"
            )
    return True
