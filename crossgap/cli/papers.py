"""`crossgap table` and `crossgap figure`: results as papers have them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from crossgap.cli import scripts, tables
from crossgap.cli.errors import explained
from crossgap.cli.overwriting import require_place
from crossgap.cli.scripts import Json
from crossgap.errors import CrossgapError, like

DATA = Path("data")


class TableFormat(StrEnum):
    """How a table is written."""

    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"


class FigureFormat(StrEnum):
    """How a figure is written."""

    SVG = "svg"
    PDF = "pdf"
    PNG = "png"


def table(
    name: Annotated[str | None, typer.Argument(help="The table's name; without it, all are listed.")] = None,
    form: Annotated[
        TableFormat | None,
        typer.Option("--format", help="Without it, markdown. LaTeX needs the package booktabs."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a table of a paper, made of this project's results, with the published figures below each row.

    Example: crossgap table cross-the-gap-table1 --format latex > table1.tex
    """
    from crossgap.papers import cells, studies, writing
    from crossgap.papers.filling import filled
    from crossgap.papers.tables import IDEALISED, TABLES
    from crossgap.papers.tables import table as of_name

    with explained():
        if form is not None and (name is None or as_json):
            remedy = (
                "the list of tables has no format: name a table" if name is None else "leave it or --json out"
            )
            raise CrossgapError(f"--format {form}: {remedy}")
        form = form or TableFormat.MARKDOWN
        if name is None:
            rows = [(one, of_name(one).title) for one in TABLES]
            rows.append((IDEALISED, studies.STUDIES[IDEALISED]))
            if as_json:
                scripts.echo([{"name": one, "title": words} for one, words in rows])
                return
            tables.show(("table", "what it has"), rows)
            typer.echo(
                "\nTo print one: crossgap table NAME --format latex; to measure it: crossgap preset NAME"
            )
            return
        broken: list[CrossgapError] = []
        if name == IDEALISED:
            found = studies.table(DATA)
        else:
            wanted = of_name(name)
            measured, broken = cells.measured(DATA)
            found = filled(wanted, measured, cells.published(DATA))
        if as_json:
            scripts.echo(writing.rows(found))
        else:
            typer.echo(writing.FORMATS[form](found), nl=False)
        if as_json or form is TableFormat.CSV:
            for note in found.notes:
                typer.echo(note, err=True)
        if broken:
            raise CrossgapError(f"the table lacks cells: {'; '.join(map(str, broken))}")


def figure(
    name: Annotated[str | None, typer.Argument(help="The figure's name; without it, all are listed.")] = None,
    cell: Annotated[
        str | None, typer.Argument(help="BACKBONE/DATASET; without it, the first cell of the run.")
    ] = None,
    form: Annotated[
        FigureFormat | None,
        typer.Option("--format", help="Of the file; without it, as --output ends, else svg."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file; without it, NAME-BACKBONE-DATASET.FORMAT here."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a figure of a cell of this project, or of its idealised study or trainings, into a file.

    Example: crossgap figure effects nano/world --format pdf

    Example: crossgap figure idealised
    """
    from crossgap.papers import cells, figures, studies

    every = {one: kind.words for one, kind in figures.FIGURES.items()} | studies.STUDIES
    with explained():
        if name is None:
            if output is not None:
                raise CrossgapError(f"nothing is drawn into {output} without a figure: name one")
            if form is not None:
                raise CrossgapError(f"--format {form}: nothing is drawn without a figure: name one")
            if as_json:
                scripts.echo([{"name": one, "title": words} for one, words in every.items()])
                return
            tables.show(("figure", "what it shows"), list(every.items()))
            return
        if name not in every:
            raise CrossgapError(
                f"there is no figure {name!r}{like(name, every)}; there are {', '.join(every)}"
            )
        if output is not None and form is not None and output.suffix.lower() != f".{form}":
            raise CrossgapError(f"{output} does not end in .{form}: leave out --format, or name another file")
        form = form or FigureFormat.SVG
        if name in studies.STUDIES:
            if cell is not None:
                raise CrossgapError(f"the figure {name} is of no cell: leave out {cell}")
            path = output or Path(f"{name}.{form}")
            require_place(path)
            of = studies.drawn(name, DATA, path)
            if as_json:
                scripts.echo({"file": str(path), "of": of})
            else:
                typer.echo(f"{path}: {of}")
            return
        found = cells.evaluated(DATA)
        if not found:
            raise CrossgapError("nothing is measured here: go to a project's root, and let `dvc repro` run")
        if cell is not None and cell not in found:
            raise CrossgapError(
                f"no cell {cell!r} is measured here{like(cell, found)}; there are {', '.join(found)}"
            )
        chosen = cell or next(iter(found))
        path = output or Path(f"{name}-{chosen.replace('/', '-').replace(' ', '-')}.{form}")
        require_place(path)
        figures.drawn(name, cells.read(DATA, found[chosen], figures.FIGURES[name].tables), path)
        others = f", one of {len(found)} cells" if cell is None and len(found) > 1 else ""
        if as_json:
            scripts.echo({"file": str(path), "cell": chosen})
        else:
            typer.echo(f"{path}: {chosen}{others}")
