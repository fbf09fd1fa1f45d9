"""MixBench's own files: queries, a corpus of texts and images, judgements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from crossgap.datasets.declared import DatasetError, MixBench
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.datasets.reading import capped

QUERIES = [
    {"query_id": "q1", "text": "a red bus", "image": ""},
    {"query_id": "q2", "text": "a bus in town", "image": None},
    {"query_id": "q3", "text": "", "image": "3.jpg"},
    {"query_id": "q4", "text": "a cat"},
]
CORPUS = [
    {"corpus_id": "d1", "text": "Buses of the town.", "image": "1.jpg"},
    {"corpus_id": "d2", "text": "A dog.", "image": "2.jpg"},
    {"corpus_id": "d3", "text": "Of cats.", "image": ""},
    {"corpus_id": "d4", "text": "", "image": "3.jpg"},
]
QRELS = "query_id\tcorpus_id\tscore\nq1\td1\t1\nq2\td2\t0\nq2\td1\t2\nq4\td3\t1\nq3\td4\t1\n"


def put(file: Path, rows: list[dict]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def declared(tmp_path) -> MixBench:
    root = tmp_path / "MSCOCO"
    (root / "images").mkdir(parents=True)
    for number in (1, 2, 3):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(root / "images" / f"{number}.jpg")
    put(root / "queries.jsonl", QUERIES)
    put(root / "corpus.jsonl", CORPUS)
    (root / "qrels.tsv").write_text(QRELS)
    fields = {
        "layout": "mixbench",
        "root": root,
        "vocabulary": "none",
        "retrieval": {"query": "test", "gallery": "test"},
    }
    return MixBench.model_validate(fields)


def rows(found) -> list[tuple]:
    return [tuple(row) for row in found.frame[["id", "modality", "path", "text", "group", "rank"]].to_numpy()]


def test_documents_with_their_queries_first(declared, tmp_path):
    found = read(declared, tmp_path)
    assert rows(found) == [
        ("d1", "image", "images/1.jpg", None, "d1", 0),
        ("d2", "image", "images/2.jpg", None, "d2", 0),
        ("d1#text", "text", None, "Buses of the town.", "d1", 1),
        ("query/q1", "text", None, "a red bus", "d1", 0),
        ("query/q2", "text", None, "a bus in town", "d1", 2),
        ("d2#text", "text", None, "A dog.", "d2", 1),
    ]
    assert found.notes == (
        "2 documents lack their text or their image, and are left out",
        "2 queries have no text or no document here, and are left out",
        "1 queries ask for the document of another one: they don't ask in mixed search",
    )
    assert not found.problems
    prepare(declared, tmp_path / "prepared")


def test_judgements_in_a_folder_and_with_beirs_header(declared, tmp_path):
    file = declared.root / "qrels.tsv"
    (declared.root / "qrels").mkdir()
    (declared.root / "qrels" / "qrels.tsv").write_text(QRELS.replace("_", "-"))
    expected = read(declared, tmp_path).frame
    file.unlink()
    assert read(declared, tmp_path).frame.equals(expected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "queries.jsonl",
            '{"text": "a"}\n',
            "line 1 has no query_id: name the folder of one of MixBench's subsets",
        ),
        ("corpus.jsonl", '{"corpus_id": "a", "text": 3}\n', "line 1: 3 is no text"),
        ("corpus.jsonl", '{"corpus_id": "a"}\n' * 2, "line 2: corpus_id 'a' is there already"),
        ("corpus.jsonl", '{"corpus_id": "a", "text": "b"}\n', "no document has a text and an image"),
        ("corpus.jsonl", "[1]\n", "line 1: no JSON object"),
        ("qrels.tsv", "query_id\tcorpus_id\tscore\nq1\td1\tyes\n", "line 2: score 'yes' is no number"),
        ("qrels.tsv", "query_id\tcorpus_id\tscore\nx\td1\t1\n", "no judgement names a query and a document"),
        ("qrels.tsv", "a\tb\tc\n1\t2\t3\n", "line 1"),
    ],
)
def test_files_that_are_wrong(declared, tmp_path, name, content, message):
    (declared.root / name).write_text(content)
    with pytest.raises(DatasetError, match=message):
        read(declared, tmp_path)


@pytest.mark.parametrize("name", ["queries.jsonl", "corpus.jsonl", "qrels.tsv"])
def test_files_that_are_missing(declared, tmp_path, name):
    (declared.root / name).unlink()
    with pytest.raises(DatasetError, match=name):
        read(declared, tmp_path)


MIXED = [
    {"corpus_id": "d1", "text": "Buses of the town.", "image": "1.jpg"},
    {"corpus_id": "d2", "text": "", "image": "2.jpg"},
    {"corpus_id": "d3", "text": "Of cats.", "image": None},
    {"corpus_id": "d5"},
]


@pytest.fixture
def mixed(declared) -> MixBench:
    """The gallery that MixBench fixes: each document is an image, a text or both."""
    put(declared.root / "mixed_corpus.jsonl", MIXED)
    return declared.model_copy(update={"corpus": "mixed_corpus.jsonl"})


def test_the_mixed_corpus_keeps_documents_of_one_part(mixed, tmp_path):
    found = read(mixed, tmp_path)
    assert rows(found) == [
        ("d1", "image", "images/1.jpg", None, "d1", 0),
        ("d2", "image", "images/2.jpg", None, "d2", 0),
        ("d1#text", "text", None, "Buses of the town.", "d1", 1),
        ("query/q1", "text", None, "a red bus", "d1", 0),
        ("query/q2", "text", None, "a bus in town", "d1", 2),
        ("d3#text", "text", None, "Of cats.", "document/d3", 1),
        ("query/q4", "text", None, "a cat", "document/d3", 0),
    ]
    assert found.notes == (
        "1 documents lack their text and their image, and are left out",
        "1 queries have no text or no document here, and are left out",
    )
    prepare(mixed, tmp_path / "prepared")


def test_a_mixed_corpus_of_whole_documents_is_none(mixed, tmp_path):
    put(mixed.root / "mixed_corpus.jsonl", CORPUS[:2])
    with pytest.raises(DatasetError, match=r"mixed_corpus\.jsonl: every document has a text and an image"):
        read(mixed, tmp_path)
    put(mixed.root / "mixed_corpus.jsonl", [{"corpus_id": "d1"}])
    with pytest.raises(DatasetError, match="no document has a text or an image"):
        read(mixed, tmp_path)


def test_texts_alone_count_as_documents_of_a_smaller_set(mixed, tmp_path):
    frame = read(mixed, tmp_path).frame
    kept = {count: set(capped(frame, count)["group"]) for count in (1, 2, 3)}
    assert [len(kept[count]) for count in kept] == [1, 2, 3]
    assert kept[1] < kept[2] < kept[3] == set(frame["group"])
