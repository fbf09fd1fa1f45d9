"""The tables that commands print: drawn by rich for a terminal, one line a row for a pipe."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 1_000_000  # no table is as wide: no cell is folded


def show(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table.

    A terminal gets it in its own width, where long cells go on in the next line. A pipe or a file gets one line a row,
    as wide as the cells are, with two spaces or more between columns: nothing is cut, and `grep` finds whole rows.

    Args:
        head: names of the columns.
        rows: cells, as many as there are columns.
    """
    if sys.stdout.isatty():
        from rich.console import Console

        console = Console(highlight=False)
        console.print(_table(head, rows, console.width))
    else:
        typer.echo(text(head, rows), nl=False)


def text(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The table as a pipe gets it: one line a row, none with spaces at its end."""
    from rich.console import Console

    written = io.StringIO()
    Console(file=written, color_system=None, width=_WIDTH).print(_table(head, rows, _WIDTH))
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> Table:
    """The table, `width` characters wide at most: names in its first column stay whole where they are short."""
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row of {len(row)} cells in a table of {len(head)} columns: {row}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, name in enumerate(head):
        whole = place == 0 and max((len(row[0]) for row in rows), default=0) < width / 3
        table.add_column(Text(name), overflow="fold", no_wrap=whole)
    for row in rows:
        # as it stands: brackets are no markup
        table.add_row(*(Text(cell.replace("\n", " ")) for cell in row))
    return table
