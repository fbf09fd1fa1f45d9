"""problems.csv: what is written is read, whatever it looks like."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgap.datasets.declared import DatasetError, Table
from crossgap.datasets.preparing import prepare
from crossgap.prepared import problems

values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
looks = values | st.sampled_from(
    ["NA", "null", "NaN", "None", "", "-1", "1.0", "True", ' a "b", c ', "\r", "a\nb", ";\t"]
)


@given(st.lists(st.tuples(looks, looks, looks)))
def test_written_is_read(tmp_path_factory, rows) -> None:
    folder = tmp_path_factory.mktemp("problems")
    table = pd.DataFrame(rows, columns=["id", "item", "problem"], dtype=object)
    problems.write(table, folder)
    assert problems.read(folder) == table.to_dict("records")
    assert json.loads(json.dumps(problems.read(folder), allow_nan=False)) == problems.read(folder)


def test_nothing_set_aside_is_the_header_alone(tmp_path) -> None:
    problems.write(pd.DataFrame(columns=["id", "item", "problem"]), tmp_path)
    assert (tmp_path / problems.FILE).read_bytes() == b"id,item,problem\n"
    assert problems.read(tmp_path) == []
    with pytest.raises(DatasetError, match=r"problems .*problems\.csv can't be read"):
        problems.read(tmp_path / "nowhere")


def test_an_item_called_na_is_listed_by_its_name(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("id,text,group\nNA,A.,\nnull,,\nb,B.,gone\n")
    declared = Table(
        layout="table", root=tmp_path, table="t.csv", on_problem="set_aside", vocabulary="none", retrieval={}
    )
    made = prepare(declared, tmp_path)
    assert made.items["id"].tolist() == ["NA"]
    problems.write(made.problems, tmp_path)
    assert [row["id"] for row in problems.read(tmp_path)] == ["null", "b"]
