"""`crossgap report`: the page that `dvc repro` made, with what is known of it here alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossgap.cli.errors import explained
from crossgap.errors import CrossgapError

PAGE, COPY = Path("data/report/index.html"), Path("data/scratch/report/index.html")


def report(
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write the report's page with the revision of git and the seconds of each stage, and say where it is.

    Example: crossgap report --open
    """
    from crossgap.planning import made_here
    from crossgap.report.page import with_here
    from crossgap.stores import temporary

    with explained():
        if not PAGE.is_file():
            raise CrossgapError(f"{PAGE} is not there: `dvc repro` makes it, in the project's root")
        here = {
            "facts": made_here.facts(Path()),
            "heads": made_here.HEADS,
            "stages": made_here.stages(Path()),
        }
        text = with_here(PAGE.read_text(encoding="utf-8"), here)
        COPY.parent.mkdir(parents=True, exist_ok=True)
        temporary.write(COPY, text.encode("utf-8"))
        typer.echo(COPY)
        if open_ and not _shown(COPY):
            raise CrossgapError(f"no browser can be opened here: open {COPY.resolve().as_uri()} in one")


def _shown(page: Path) -> bool:
    import webbrowser

    return webbrowser.open(page.resolve().as_uri())
