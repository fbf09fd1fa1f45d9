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


@pytest.mark.parametrize("filters", [None, [("turn", "<", 2)]])
@pytest.mark.parametrize("lost", ["its end", "its middle", "all", "its column"])
def test_damage_is_one_sentence_with_the_remedy(tmp_path, lost, filters) -> None:
    path = tmp_path / "looked_at.parquet"
    pd.DataFrame({"turn": range(99), "id": "a"}).to_parquet(path, index=False)
    whole = path.read_bytes()
    if lost == "its column":
        if filters is None:
            return
        pd.DataFrame({"id": ["a"]}).to_parquet(path, index=False)
    else:
        path.write_bytes(
            {"its end": whole[:-9], "its middle": whole[:4] + b"\xff" * 60 + whole[64:], "all": b""}[lost]
        )
    with pytest.raises(CrossgapError, match=r"looked_at\.parquet is damaged \([^\n]+\): mend it$"):
        parquet.read(path, "mend it", filters)
