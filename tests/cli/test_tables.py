"""Tables of commands: whole rows in a pipe, whole cells in a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgap.cli import tables

CELLS = st.text(st.sampled_from("ab[/] x:é日"), max_size=30)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=4))
def test_a_pipe_gets_a_line_a_row_with_every_cell_as_it_stands(rows) -> None:
    said = tables.text(("one", "[two]"), rows)
    head, *lines = said.split("\n")[:-1]
    assert head.split() == ["one", "[two]"]
    assert len(lines) == len(rows)
    for line, (first, second) in zip(lines, rows, strict=True):
        assert line == line.rstrip()
        assert line.startswith(first.rstrip()) and line.endswith(second.rstrip())


def test_nothing_is_cut_however_long_and_columns_are_aligned() -> None:
    rows = [("x" * 3000, "[bold]y[/bold]"), ("z", "a\nb")]
    first, second = tables.text(("name", "what"), rows).splitlines()[1:]
    assert first == "x" * 3000 + "  [bold]y[/bold]"
    assert second.index("a b") == first.index("[bold]")


def test_a_row_of_too_few_cells_is_an_error() -> None:
    with pytest.raises(ValueError, match="a row of 1 cells in a table of 2 columns"):
        tables.text(("one", "two"), [("a",)])


@pytest.mark.parametrize("columns", [20, 50, 200])
def test_a_terminal_gets_every_character(columns) -> None:
    """Cells go on in the next line; what a column has, read downwards, is its cell."""
    rows = [("openai-l14-336", "abcdefghij" * 9, "k"), ("nano", "l" * 7, "m" * 33)]
    code = f"from crossgap.cli import tables; tables.show(('name', 'w', 'v'), {rows})"
    theirs, ours = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    subprocess.run([sys.executable, "-c", code], stdout=ours, env=environment, check=True)
    os.close(ours)
    said = b""
    try:
        while some := os.read(theirs, 65536):
            said += some
    except OSError:  # Linux's way to say that it is the end
        pass
    os.close(theirs)
    lines = re.sub(r"\x1b\[\d*m", "", said.decode()).splitlines()
    assert max(map(len, lines)) <= columns
    found = "".join(lines)
    for letter in "abcdefghijklm":
        told = sum(cell.count(letter) for row in rows for cell in row)
        assert found.count(letter) == told + "namewv".count(letter)
