"""Tables of parquet: rows as they were written, and one sentence on damage of any kind."""

from __future__ import annotations

import pandas as pd
import pytest

from crossgap.errors import CrossgapError
from crossgap.prepared import parquet


def test_a_table_or_those_of_its_rows_are_read(tmp_path, monkeypatch) -> None:
    table = pd.DataFrame({"turn": [0, 1, 2], "id": ["a", None, "NA"]})
    monkeypatch.chdir(tmp_path)
    path = tmp_path.relative_to(tmp_path) / "a:b.parquet"
    table.to_parquet(tmp_path / path, index=False)
    pd.testing.assert_frame_equal(parquet.read(path), table)
    found = parquet.read(path, filters=[("turn", "<", 2)])
    pd.testing.assert_frame_equal(found, table[:2])


FILTERS = [("turn", "<", 2)]
DAMAGE = {
    "its end": lambda whole: whole[:-9],
    "its middle": lambda whole: whole[:4] + b"\xff" * 60 + whole[64:],
    "all": lambda _whole: b"",
    "its encoding": lambda whole: whole.replace(b"red mug", b"red mu\xff"),
}


@pytest.mark.parametrize("filters", [None, FILTERS])
@pytest.mark.parametrize("lost", DAMAGE)
def test_damage_is_one_sentence_with_the_remedy(tmp_path, lost, filters) -> None:
    path = tmp_path / "looked_at.parquet"
    table = pd.DataFrame({"turn": range(2), "id": "red mug"})
    table.to_parquet(path, index=False, compression=None, use_dictionary=False)
    path.write_bytes(DAMAGE[lost](path.read_bytes()))
    with pytest.raises(CrossgapError, match=r"looked_at\.parquet is damaged \([^\n]+\): mend it$"):
        parquet.read(path, "mend it", filters)


def test_what_is_not_there_is_said_to_be_missing(tmp_path) -> None:
    with pytest.raises(CrossgapError, match=r"looked_at\.parquet is damaged \(it is missing\): mend it$"):
        parquet.read(tmp_path / "looked_at.parquet", "mend it")
    path = tmp_path / "looked_at.parquet"
    pd.DataFrame({"id": ["a"]}).to_parquet(path, index=False)
    with pytest.raises(CrossgapError, match=r"is damaged \(.*turn.*\): mend it$"):
        parquet.read(path, "mend it", FILTERS)
