"""BEIR's archives and NanoBEIR's folders of parquet."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossgap.datasets.declared import Beir, DatasetError
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read

QUERIES = {"q1": "Is it warming?", "q2": "Who wrote it?", "q3": "Nobody judged this."}
CORPUS = {"d1": " It is warming. ", "d2": "It is cooling.", "q1": "She wrote it."}
JUDGED = [("q1", "d1"), ("q1", "d2"), ("q2", "q1")]


def nano(root: Path, queries=QUERIES, corpus=CORPUS, judged=JUDGED) -> Path:
    """The corpus in two files, as the hub splits larger ones."""

    def put(folder: str, rows: list[dict], number: int = 0) -> None:
        (root / folder).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), root / folder / f"train-0000{number}-of-00002.parquet")

    rows = [{"_id": name, "text": text} for name, text in corpus.items()]
    put("corpus", rows[:1])
    put("corpus", rows[1:], 1)
    put("queries", [{"_id": name, "text": text} for name, text in queries.items()])
    put("qrels", [{"query-id": query, "corpus-id": document} for query, document in judged])
    return root


def beir(root: Path) -> Path:
    """Titles, metadata, grades, and judgements of other splits, as in BEIR's archives."""
    (root / "qrels").mkdir(parents=True)
    documents = [
        {"_id": name, "title": "On it" if name == "d1" else "", "text": text} for name, text in CORPUS.items()
    ]
    for name, rows in {
        "corpus": documents,
        "queries": [{"_id": name, "text": text} for name, text in QUERIES.items()],
    }.items():
        lines = [json.dumps(row | {"metadata": {}}) for row in rows]
        (root / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    header = "query-id\tcorpus-id\tscore\n"
    (root / "qrels/test.tsv").write_text(f"{header}q1\td1\t2\nq1\td2\t0\nq2\tq1\t1\nq2\td2\t-1\n")
    (root / "qrels/train.tsv").write_text(f"{header}q3\td1\t1\n")
    return root


def declared(root: Path, **fields) -> Beir:
    fields = {"retrieval": {"query": "query", "gallery": "gallery"}, "vocabulary": "none"} | fields
    return Beir(layout="beir", root=root, **fields)


def test_the_miniature_of_nanobeir(tmp_path) -> None:
    sizes = {"query": {"texts": 2}, "gallery": {"texts": 3}}
    made = prepare(declared(nano(tmp_path / "NanoX"), sizes=sizes), tmp_path)
    assert made.items[["id", "split", "text"]].to_numpy().tolist() == [
        ["query/q1", "query", "Is it warming?"],
        ["query/q2", "query", "Who wrote it?"],
        ["d1", "gallery", "It is warming."],
        ["d2", "gallery", "It is cooling."],
        ["q1", "gallery", "She wrote it."],
    ]
    assert made.judgements.to_numpy().tolist() == [
        ["judged", "query/q1", "d1", 1],
        ["judged", "query/q1", "d2", 1],
        ["judged", "query/q2", "q1", 1],
    ]


def test_the_miniature_of_beir(tmp_path) -> None:
    made = prepare(declared(beir(tmp_path / "scifact")), tmp_path)
    assert made.items[["id", "text"]].to_numpy().tolist() == [
        ["query/q1", "Is it warming?"],
        ["query/q2", "Who wrote it?"],
        ["d1", "On it It is warming."],
        ["d2", "It is cooling."],
        ["q1", "She wrote it."],
    ]
    assert made.judgements.to_numpy().tolist() == [
        ["judged", "query/q1", "d1", 2],
        ["judged", "query/q1", "d2", 0],
        ["judged", "query/q2", "q1", 1],
        ["judged", "query/q2", "d2", 0],
    ]


def test_a_pair_that_is_there_twice_counts_once(tmp_path) -> None:
    made = prepare(declared(nano(tmp_path / "n", judged=[*JUDGED, JUDGED[0]])), tmp_path)
    assert len(made.judgements) == 3


def test_summaries_are_of_the_corpus(tmp_path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"d1": "Warm.", "d2": "Cool.", "q1": "She."}))
    made = prepare(declared(nano(tmp_path / "n"), summaries=tmp_path / "s.json"), tmp_path)
    assert made.items["text"].tolist() == ["Is it warming?", "Who wrote it?", "Warm.", "Cool.", "She."]
    (tmp_path / "s.json").write_text(json.dumps({"d1": "Warm."}))
    with pytest.raises(DatasetError, match=r"lacks 2 of 3 documents \(d2, q1\)"):
        read(declared(nano(tmp_path / "n"), summaries=tmp_path / "s.json"), tmp_path)


def test_empty_texts_go_with_their_judgements(tmp_path) -> None:
    root = nano(tmp_path / "n", queries=QUERIES | {"q2": " "}, corpus=CORPUS | {"d2": "\n"})
    with pytest.raises(DatasetError, match="1 × empty query, 1 × empty document"):
        prepare(declared(root), tmp_path)
    made = prepare(declared(root, on_problem="set_aside"), tmp_path)
    assert made.problems["id"].tolist() == ["query/q2", "d2"]
    assert made.judgements.to_numpy().tolist() == [["judged", "query/q1", "d1", 1]]


@pytest.mark.parametrize(
    ("judged", "message"),
    [
        ([("q1", "d1"), ("q9", "d1")], "no item of the query split .*query/q9, d1, 1"),
        ([("q1", "d1"), ("q1", "d7")], "no item of the gallery split .*query/q1, d7, 1"),
    ],
)
def test_judgements_of_what_is_not_there(tmp_path, judged, message) -> None:
    with pytest.raises(DatasetError, match=message):
        prepare(declared(nano(tmp_path / "n", judged=judged)), tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("corpus.jsonl", None, "corpus .*corpus.jsonl can't be read"),
        ("corpus.jsonl", "", ": no corpus: "),
        ("corpus.jsonl", '{"_id": "d1", "text": "x"}\n\n{"_id": "d2"', "corpus.jsonl line 3: no JSON"),
        ("corpus.jsonl", "[1]", "corpus.jsonl line 1: no JSON object"),
        ("queries.jsonl", '{"_id": 4, "text": "x"}', "queries.jsonl line 1 has no text _id"),
        ("corpus.jsonl", '{"_id": "d1", "text": "x"}\n' * 2, "corpus.jsonl line 2: id 'd1' is there already"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", ": no qrels: "),
        ("qrels/test.tsv", "query-id\tcorpus-id\n", "columns 'score': it needs query-id, corpus-id, score$"),
        (
            "qrels/test.tsv",
            "q1\td1\t1\n",
            "test.tsv line 1: .*if there is no header, write one above the first row",
        ),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\thigh\n", "test.tsv line 2: score 'high'"),
    ],
)
def test_files_that_hold_something_else(tmp_path, file, text, message) -> None:
    root = beir(tmp_path / "b")
    (root / file).unlink()
    if text is not None:
        (root / file).write_text(text)
    with pytest.raises(DatasetError, match=message):
        read(declared(root), tmp_path)


def test_parquet_that_is_damaged_or_holds_something_else(tmp_path) -> None:
    root = nano(tmp_path / "n")
    qrels = root / "qrels/train-00000-of-00002.parquet"
    pq.write_table(pa.table({"query": ["q1"]}), qrels)
    with pytest.raises(DatasetError, match=r"qrels/.*parquet row 1 has no text query-id, corpus-id"):
        read(declared(root), tmp_path)
    qrels.write_bytes(qrels.read_bytes()[:-9])
    with pytest.raises(DatasetError, match=r"qrels/.*parquet can't be read: .*: download it again"):
        read(declared(root), tmp_path)
    qrels.unlink()
    with pytest.raises(DatasetError, match="has no folder qrels with"):
        read(declared(root), tmp_path)
    with pytest.raises(DatasetError, match=r"root .*nowhere does not exist"):
        read(declared(tmp_path / "nowhere"), tmp_path)


def self_matched(root: Path, queries: dict[str, str], **fields) -> list[list]:
    root = nano(root, queries=queries, judged=[("d1", "d2"), ("d2", "q1"), ("d2", "d2")])
    return prepare(declared(root, **fields), root).judgements.to_numpy().tolist()


def test_a_query_that_is_a_document_does_not_find_itself(tmp_path) -> None:
    """Of equal ids, d1 has the document's text, though in capitals and with other blanks; d2 another one."""
    assert self_matched(tmp_path / "n", {"d1": " It IS\n warming.", "d2": "Is it cooling?"}) == [
        ["judged", "query/d1", "d2", 1],
        ["judged", "query/d2", "q1", 1],
        ["judged", "query/d2", "d2", 1],
        ["judged", "query/d1", "d1", -1],
    ]
    # judged as relevant to itself
    assert self_matched(tmp_path / "m", {"d1": "Is it?", "d2": CORPUS["d2"]})[-1] == [
        "judged",
        "query/d2",
        "d2",
        -1,
    ]
    assert ["judged", "query/d2", "d2", 1] not in self_matched(
        tmp_path / "o", {"d1": "Is it?", "d2": CORPUS["d2"]}
    )


def test_a_title_before_a_document_does_not_hide_the_query(tmp_path) -> None:
    root = beir(tmp_path / "arguana")
    for text, own in ((CORPUS["d1"], True), (f"On it {CORPUS['d1']}", True), (f"It {CORPUS['d1']}", False)):
        (root / "queries.jsonl").write_text(json.dumps({"_id": "d1", "text": text}))
        (root / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nd1\td2\t1\n")
        made = prepare(declared(root), tmp_path)
        assert (["judged", "query/d1", "d1", -1] in made.judgements.to_numpy().tolist()) == own
        assert any("1 queries are documents too" in note for note in made.notes) == own


def test_judgements_of_what_is_not_there_are_set_aside_and_counted(tmp_path) -> None:
    judged = [("q1", "d1"), ("q1", "gone"), ("q9", "d1"), ("q2", "gone")]
    made = prepare(declared(nano(tmp_path / "n", judged=judged), on_problem="set_aside"), tmp_path)
    assert made.judgements.to_numpy().tolist() == [["judged", "query/q1", "d1", 1]]
    assert made.problems["id"].tolist() == ["query/q1 gone", "query/q9 d1", "query/q2 gone"]
    assert made.problems["problem"].str.startswith("judgement of an item that there is not").all()
    with pytest.raises(DatasetError, match=r"on_problem: set_aside"):
        prepare(declared(nano(tmp_path / "m", judged=judged)), tmp_path)


@pytest.mark.parametrize("form", ["tsv", "jsonl", "parquet"])
def test_grades_that_are_whole_numbers_written_as_floats(tmp_path, form) -> None:
    root = beir(tmp_path / "b")
    rows = [
        {"query-id": "q1", "corpus-id": "d1", "score": 2.0},
        {"query-id": "q1", "corpus-id": "d2", "score": -1.0},
    ]
    (root / "qrels/test.tsv").unlink()
    file = root / f"qrels/test.{form}"
    if form == "tsv":
        lines = ["\t".join(map(str, row.values())) for row in rows]
        file.write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]))
    elif form == "jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    assert prepare(declared(root), tmp_path).judgements["grade"].tolist() == [2, 0]


def test_which_judgements_are_measured(tmp_path) -> None:
    """`test` of several, else the only ones, else those that are named."""
    root = nano(tmp_path / "n")
    rows = {"train": "q1", "dev": "q2", "test": "q2"}
    assert prepare(declared(root), tmp_path).notes == (
        "the judgements of train are measured, the only ones that there are",
    )
    for file in (root / "qrels").iterdir():
        file.unlink()
    for split, query in rows.items():
        for part in range(2):
            held = pa.table({"query-id": [query], "corpus-id": [["d1", "d2"][part]], "score": [1]})
            pq.write_table(held, root / f"qrels/{split}-0000{part}-of-00002.parquet")
    found = prepare(declared(root), tmp_path)
    assert found.judgements["query"].tolist() == ["query/q2"] * 2 and found.notes == ()
    assert prepare(declared(root, qrels="train"), tmp_path).judgements["query"].tolist() == ["query/q1"] * 2
    with pytest.raises(DatasetError, match=r"qrels: .*has no judgements 'val'; it has dev, test, train"):
        read(declared(root, qrels="val"), tmp_path)
    for file in (root / "qrels").glob("test-*"):
        file.unlink()
    with pytest.raises(
        DatasetError, match=r"qrels: .* has judgements of dev, train, and none of test: name those"
    ):
        read(declared(root), tmp_path)
