"""What lists of commands say, against the code that they list."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from crossgap.catalogue import entries
from crossgap.cli import app
from crossgap.corrections import RIVALS
from crossgap.datasets import LAYOUTS
from crossgap.datasets.readers.table_rows import COLUMNS


def rows(*words: str) -> list[list[str]]:
    ran = CliRunner().invoke(app, list(words))
    assert ran.exit_code == 0, ran.output
    table = next(part for part in ran.output.split("\n\n") if "  " in part)
    return [re.split(r"  +", line) for line in table.splitlines()[1:]]


def test_every_correction_has_a_row() -> None:
    said = rows("corrections")
    assert [row[0] for row in said] == list(RIVALS)
    assert {len(row) for row in said} == {4}


def test_every_layout_has_a_row_with_what_the_catalogues_rows_have() -> None:
    said = {row[0]: row for row in rows("datasets", "layouts")}
    assert list(said) == list(LAYOUTS)
    for name, row in entries.rows("datasets").items():
        assert set(said[row["layout"]][1].split(", ")) <= row.keys(), name
    assert said["huggingface"][1] == "retrieval, id, splits", "its root is its id, if none is given"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_field_of_a_layout_is_described(layout) -> None:
    said = {name: (default, about) for name, default, about in rows("datasets", "layouts", layout)}
    assert said.keys() == LAYOUTS[layout].model_fields.keys() - {"layout"}
    assert all(about != "-" for _, about in said.values())
    needed = [name for name, (default, _) in said.items() if default == "must be given"]
    assert ", ".join(needed) == next(row for row in rows("datasets", "layouts") if row[0] == layout)[1]


def test_the_columns_of_a_table_are_those_that_are_read() -> None:
    *_, table = CliRunner().invoke(app, ["datasets", "layouts", "table"]).output.split("\n\n")
    said = [re.split(r"  +", line)[0] for line in table.splitlines()[1:]]
    assert sorted(said) == sorted((*COLUMNS, "label", "label.<labelling>"))


def test_an_unknown_layout_is_told_the_known_ones() -> None:
    ran = CliRunner().invoke(app, ["datasets", "layouts", "zip"])
    assert ran.exit_code == 1 and "there is no layout 'zip'; there are world, captions, " in str(
        ran.exception
    )


def test_help_is_in_whole_sentences() -> None:
    """Of every command, argument and option."""

    def sentences(command, name: str):
        yield name, command.get_short_help_str(500)
        for parameter in command.params:
            if said := getattr(parameter, "help", None):
                yield f"{name} {parameter.name}", said
        for below, of in getattr(command, "commands", {}).items():
            yield from sentences(of, f"{name} {below}")

    for place, said in sentences(get_command(app), "crossgap"):
        if not said.startswith("Show this message"):
            assert said[0].isupper() and said.rstrip("]")[-1] in ".?", (place, said)
