from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossgap import open_store
from crossgap.datasets import DatasetError
from crossgap.datasets.judgement_files import read_file
from crossgap.prepared import judgements
from crossgap.prepared.judgements import validate
from crossgap.stores import store

QUERIES, GALLERY = ["q1", "q2"], ["d1", "d2", "d/3 ü"]
ROWS = [("q1", "d1", 2), ("q1", "d2", 0), ("q2", "d1", -1), ("q2", "d2", 1)]


def table(**changes) -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=["query", "item", "grade"]).assign(**changes)


def told(frame: pd.DataFrame) -> list[tuple]:
    return list(frame.itertuples(index=False, name=None))


JUDGED = [("judged", *row) for row in ROWS]


@pytest.mark.parametrize(
    "text",
    [
        "query,item,grade\nq1,d1,2\nq1,d2,0\nq2,d1,-1\nq2,d2,1\n",
        '\ufeffgrade,query,extra,item\r\n2,q1,x,d1\r\n\r\n0,"q1",x,d2\r\n-1,q2,"a, b",d1\r\n1, q2 ,x, d2\r\n',
        "query\titem\tgrade\nq1\td1\t2\nq1\td2\t0\nq2\td1\t-1\nq2\td2\t1\n",
        "item\tquery\tgrade\tsetting\nd1\tq1\t2\tjudged\nd2\tq1\t0\tjudged\nd1\tq2\t-1\tjudged\nd2\tq2\t1\tjudged\n",
        "q1 0 d1 2\nq1\t0\td2 0\n\nq2 Q0 d1  -1\nq2 0 d2 1",
        "query;item;grade\nq1;d1;2.0\nq1;d2;0\nq2;d1;-1.0\nq2;d2;1\n",
        "q1 0 d1 2.0\nq1 0 d2 0\nq2 0 d1 -1.0\nq2 0 d2 1",
    ],
    ids=["csv", "csv of other order", "tsv", "tsv with settings", "trec", "semicolons", "trec of floats"],
)
def test_every_format_gives_the_same_table(tmp_path, text) -> None:
    (tmp_path / "qrels").write_bytes(text.encode())
    valid = validate(read_file(tmp_path / "qrels"), QUERIES, GALLERY)
    assert list(valid) == list(judgements.COLUMNS) and told(valid) == JUDGED
    assert valid["grade"].dtype == np.int64 and list(valid.index) == [0, 1, 2, 3]
    assert all(type(value) is str for column in ("setting", "query", "item") for value in valid[column])


def test_settings_judge_the_same_pair_each_their_way(tmp_path) -> None:
    file = tmp_path / "judged.csv"
    file.write_text(
        "query,item,grade,setting\nq1,d1,1,easy\nq1,d1,-1,hard\nq1,d/3 ü,1,hard\n", encoding="utf-8"
    )
    valid = validate(read_file(file), QUERIES, GALLERY)
    assert told(valid) == [("easy", "q1", "d1", 1), ("hard", "q1", "d1", -1), ("hard", "q1", "d/3 ü", 1)]


def test_numbers_as_ids_and_whole_floats_as_grades() -> None:
    frame = pd.DataFrame({"query": [1, 2], "item": [3, 3], "grade": [1.0, 0.0]})
    assert told(validate(frame, ["1", "2"], ["3"])) == [("judged", "1", "3", 1), ("judged", "2", "3", 0)]


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        (
            {"query": ["q1", "q1", "q3", None]},
            ["query split", "(2 rows: row 2 (q3, d1, -1), row 3 (, d2, 1))"],
        ),
        ({"item": ["q1", "d2", "d1", "d2"]}, ["gallery split", "(1 rows: row 0 (q1, q1, 2))"]),
        ({"grade": [2, -2, 1, 0.5]}, ["-1 ignored (2 rows: row 1 (q1, d2, -2.0), row 3 (q2, d2, 0.5))"]),
        ({"grade": ["2", "yes", "", None]}, ["a grade is a whole number", "3 rows: row 1 (q1, d2, yes)"]),
        ({"grade": [1, np.inf, 1, 1]}, ["a grade is a whole number"]),
        (
            {"query": "q1", "item": "d1"},
            ["judged twice: give it one grade (4 rows:", "row 2 (q1, d1, -1), …)"],
        ),
        ({"setting": ["a", "a", "a/b", ""]}, ["a setting names metrics", "2 rows: row 2 (q2, d1, -1)"]),
    ],
)
def test_rows_that_break_the_contract_are_named(changes, messages) -> None:
    with pytest.raises(DatasetError) as error:
        validate(table(**changes), QUERIES, GALLERY)
    assert all(message in str(error.value) for message in messages), error.value


def test_rows_of_a_file_are_named_by_line_and_all_rules_told_at_once(tmp_path) -> None:
    (tmp_path / "j.csv").write_text("query,item,grade\nq1,d1,2\n\nq9,d1,x\n")
    with pytest.raises(DatasetError) as error:
        validate(read_file(tmp_path / "j.csv"), QUERIES, GALLERY)
    assert str(error.value).count("line 4 (q9, d1, x)") == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "judgements .* can't be read: No such file"),
        (b"", "is empty"),
        (
            b"query,item,score\nq1,d1,1\n",
            "header 'query,item,score' has 0 columns 'grade': it needs query, item, grade",
        ),
        (b"query,item,grade,query\nq1,d1,1,q1\n", "has 2 columns 'query'"),
        (b"query,item,grade\nq1,d1\n", "line 2: columns: 2, in the header: 3; put one comma"),
        (b"query\titem\tgrade\nq1\td1\n", "line 2: columns: 2, in the header: 3; put one tab"),
        (b"q1 0 d1 1\nq1 0 d2\n", "line 2: fields: 3: TREC's are four, query 0 item grade"),
        (b"query,item,grade\nq1,\xe9,1\n", "line 2: not UTF-8"),
    ],
)
def test_a_file_that_holds_no_judgements(tmp_path, content, message) -> None:
    if content is not None:
        (tmp_path / "j.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_file(tmp_path / "j.csv")


def test_no_rows_and_missing_columns() -> None:
    with pytest.raises(DatasetError, match="there are none"):
        validate(table()[:0], QUERIES, GALLERY)
    with pytest.raises(DatasetError, match="lack the columns grade: give query, item, grade"):
        validate(table().drop(columns="grade"), QUERIES, GALLERY)


def test_written_is_read(tmp_path) -> None:
    assert judgements.read(tmp_path) is None
    valid = validate(table(), QUERIES, GALLERY)
    assert judgements.write(valid, tmp_path) == tmp_path / "judgements.parquet"
    pd.testing.assert_frame_equal(judgements.read(tmp_path), valid)


def test_a_store_takes_them_along_beside_its_groups(tmp_path) -> None:
    valid = validate(table(setting=["easy", "easy", "hard", "hard"]), QUERIES, GALLERY)
    paths = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for path in paths:
        with store.creating(path, tmp_path / "scratch", {}) as writer:
            writer.add(
                "text/test", {"id": np.array(["q1"], object)}, [{"features": np.ones((1, 2), np.float32)}]
            )
            writer.add_judgements(valid)
    found = open_store(paths[0])
    assert found.groups == ["text/test"] and "judgements" not in found
    pd.testing.assert_frame_equal(found.judgements, valid)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with store.creating(paths[0], tmp_path / "scratch", {}) as writer:
        writer.add("text/test", {"id": np.array(["q1"], object)}, [{"features": np.ones((1, 2), np.float32)}])
    assert open_store(paths[0]).judgements is None


def test_xarray_reads_them(tmp_path) -> None:
    xarray = pytest.importorskip("xarray")
    import zarr

    valid = validate(table(), QUERIES, GALLERY)
    with store.creating(tmp_path / "a.zip", tmp_path / "scratch", {}) as writer:
        writer.add_judgements(valid)
    opened = zarr.storage.ZipStore(tmp_path / "a.zip", mode="r")
    with xarray.open_zarr(opened, group="judgements", consolidated=False) as group:
        assert group["grade"].dims == ("judgement",) and group["grade"].values.tolist() == [2, 0, -1, 1]
        assert group["item"].values.tolist() == valid["item"].tolist()
