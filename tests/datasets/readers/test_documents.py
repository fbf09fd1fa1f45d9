"""Labelled documents, as 20 Newsgroups and IMDB unpack, and their summaries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from crossgap.datasets.declared import DatasetError, Documents
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read

POSTS = {
    "20news-bydate-train/sci.space/59873": b"From: a\nSubject: orbit\n\nThe moon.\n",
    "20news-bydate-train/sci.med/58043": b"\n  On health. \n",
    "20news-bydate-test/sci.space/61092": b"Subject: caf\xe9 in orbit\n",
    "20news-bydate-test/sci.space/61093": "Subject: café on Mars".encode(),
    "20news-bydate-test/sci.med/59319": b"A vaccine.",
}
ASKING = {"sci.med": "a post about medicine.", "sci.space": "a post about space."}
REVIEWS = {
    "train/pos/0_9.txt": b"Bromwell High is a cartoon comedy.<br /><br />Fun.",
    "train/neg/0_3.txt": b"A story of a man.",
    "train/unsup/0_0.txt": b"Neither.",
    "test/pos/0_10.txt": b"I went and saw this movie last night.",
    "test/neg/0_2.txt": b"Once again.",
}


def write(root: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def newsgroups(root: Path, **fields) -> Documents:
    folders = {"20news-bydate-train": "train", "20news-bydate-test": "test"}
    retrieval = {"query": "query", "gallery": "test"}
    fields = {"folders": folders, "queries": ASKING, "retrieval": retrieval, "vocabulary": "none"} | fields
    return Documents(layout="documents", root=root, **fields)


def imdb(root: Path, **fields) -> Documents:
    queries = {"neg": "a negative review.", "pos": "a positive review."}
    fields = {"folders": {"train": "all", "test": "all"}, "queries": queries, "vocabulary": "none"} | fields
    return Documents(layout="documents", root=root, retrieval={"query": "query", "gallery": "all"}, **fields)


def test_the_miniature_of_newsgroups(tmp_path) -> None:
    sizes = {"train": {"texts": 2, "classes": 2}, "test": {"texts": 3, "classes": 2}, "query": {"texts": 2}}
    items = prepare(newsgroups(write(tmp_path / "n", POSTS), sizes=sizes), tmp_path).items
    assert items[["id", "split", "text", "label.class"]].to_numpy().tolist() == [
        ["20news-bydate-test/sci.med/59319", "test", "A vaccine.", "sci.med"],
        ["20news-bydate-test/sci.space/61092", "test", "Subject: café in orbit", "sci.space"],
        ["20news-bydate-test/sci.space/61093", "test", "Subject: café on Mars", "sci.space"],
        ["20news-bydate-train/sci.med/58043", "train", "On health.", "sci.med"],
        ["20news-bydate-train/sci.space/59873", "train", "From: a\nSubject: orbit\n\nThe moon.", "sci.space"],
        ["query/sci.med", "query", "a post about medicine.", "sci.med"],
        ["query/sci.space", "query", "a post about space.", "sci.space"],
    ]
    assert items["group"].isna().all()
    assert set(items["modality"]) == {"text"}


def test_the_miniature_of_imdb_leaves_out_what_has_no_sentiment(tmp_path) -> None:
    root = write(tmp_path / "aclImdb", REVIEWS | {"train/labeledBow.feat": b"9 0:9", "imdb.vocab": b"the"})
    items = prepare(imdb(root, sizes={"all": {"texts": 4, "classes": 2}}), tmp_path).items
    assert items[["id", "split", "label.class"]].to_numpy().tolist() == [
        ["test/neg/0_2", "all", "neg"],
        ["test/pos/0_10", "all", "pos"],
        ["train/neg/0_3", "all", "neg"],
        ["train/pos/0_9", "all", "pos"],
        ["query/neg", "query", "neg"],
        ["query/pos", "query", "pos"],
    ]


def test_without_queries_every_folder_is_a_class(tmp_path) -> None:
    root = write(tmp_path / "n", POSTS | {"20news-bydate-test/new/1": b"x"})
    declaration = newsgroups(root, queries={}, retrieval={"query": "test", "gallery": "train"})
    items = prepare(declaration, tmp_path).items
    assert items[items["split"] == "test"]["label.class"].tolist() == [
        "new",
        "sci.med",
        "sci.space",
        "sci.space",
    ]
    assert "query" not in set(items["split"])


def test_summaries_stand_for_documents_and_not_for_queries(tmp_path) -> None:
    root = write(tmp_path / "aclImdb", REVIEWS)
    names = ["test/neg/0_2", "test/pos/0_10", "train/neg/0_3", "train/pos/0_9"]
    texts = {name: f" Summary of {name}.\n" for name in [*names, "train/unsup/0_0"]}
    (tmp_path / "s.json").write_text(json.dumps(texts))
    items = prepare(imdb(root, summaries=tmp_path / "s.json"), tmp_path).items
    assert items["text"].tolist() == [
        *(f"Summary of {name}." for name in names),
        "a negative review.",
        "a positive review.",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"test/neg/0_2": "x", "train/pos/0_9": " "}',
            "lacks 3 of 4 documents .test/pos/0_10, train/neg/0_3, ",
        ),
        ('["x"]', "give one JSON object"),
        ('{"test/neg/0_2": 5}', "give one JSON object"),
        ('{"test/neg/0_2":\n', "line 2: no JSON"),
        (None, "summaries .*s.json can't be read"),
    ],
)
def test_summaries_that_do_not_fit(tmp_path, text, message) -> None:
    root = write(tmp_path / "aclImdb", REVIEWS)
    if text is not None:
        (tmp_path / "s.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read(imdb(root, summaries=tmp_path / "s.json"), tmp_path)


def test_documents_that_are_empty(tmp_path) -> None:
    root = write(tmp_path / "n", POSTS | {"20news-bydate-test/sci.med/0": b" \n"})
    with pytest.raises(DatasetError, match=r"1 × empty document\n  20news-bydate-test/sci.med/0: "):
        prepare(newsgroups(root), tmp_path)
    made = prepare(newsgroups(root, on_problem="set_aside"), tmp_path)
    assert made.problems["id"].tolist() == ["20news-bydate-test/sci.med/0"]
    assert "20news-bydate-test/sci.med/0" not in set(made.items["id"])


def test_a_size_that_is_not_the_published_one(tmp_path) -> None:
    root = write(tmp_path / "aclImdb", REVIEWS)
    with pytest.raises(DatasetError, match="another size: 4 texts, 50000 are declared"):
        prepare(imdb(root, sizes={"all": {"texts": 50000}}), tmp_path)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("20news-bydate-test", "folders: .*20news-bydate-test is no folder"),
        (
            "20news-bydate-test/sci.med",
            "queries: .*20news-bydate-test has no class sci.med; it has sci.space",
        ),
    ],
)
def test_folders_that_are_missing(tmp_path, gone, message) -> None:
    root = write(tmp_path / "n", {path: text for path, text in POSTS.items() if not path.startswith(gone)})
    with pytest.raises(DatasetError, match=message):
        read(newsgroups(root), tmp_path)


def test_a_class_without_documents(tmp_path) -> None:
    root = write(tmp_path / "n", POSTS)
    (root / "20news-bydate-test/sci.med/59319").unlink()
    with pytest.raises(DatasetError, match=r"20news-bydate-test/sci\.med has no documents"):
        read(newsgroups(root), tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"folders": {"train": "query", "test": "all"}}, "the split `query` is kept for `queries`"),
        ({"queries": {"pos": " ", "neg": "x"}}, "queries: no text for pos"),
        (
            {"folders": {"train": "train"}},
            "retrieval.gallery: 'all' is none of the splits read .train, query.",
        ),
    ],
)
def test_declarations_that_contradict_themselves(tmp_path, fields, message) -> None:
    with pytest.raises(ValidationError, match=message):
        imdb(tmp_path, **fields)


def test_documents_in_a_folder_minus_one_have_no_class(tmp_path) -> None:
    for name in ("all/sport/1", "all/-1/2"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(f"On {name}.")
    declared = Documents(
        layout="documents", root=tmp_path / "set", folders={"all": "test"}, vocabulary="none", retrieval={}
    )
    items = prepare(declared, tmp_path).items
    assert items[["id", "label.class"]].to_numpy().tolist() == [["all/-1/2", None], ["all/sport/1", "sport"]]
