"""Summaries that Cross the Gap published, pickles by place or id, as JSON by our ids."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_files
from typer.testing import CliRunner

from crossgap.catalogue import entries
from crossgap.cli import app
from crossgap.datasets.declared import Beir, DatasetError, Documents
from crossgap.datasets.readers import read
from crossgap.datasets.readers.published_summaries import converted
from tests.datasets.readers.test_documents import newsgroups, write

FOLDER = "20news-bydate-test"
POSTS = {
    f"{FOLDER}/sci.{kind}/{number}": f"{kind} {number}".encode()
    for kind in ("space", "med")
    for number in (9, 10, 11, 200)
}
POSTS |= {"20news-bydate-train/sci.space/1": b"a", "20news-bydate-train/sci.med/2": b"b"}


def put(file: Path, held: object) -> Path:
    file.write_bytes(pickle.dumps(held, protocol=pickle.HIGHEST_PROTOCOL))
    return file


def test_places_are_those_of_scikit_learn(tmp_path):
    """Its own `load_files`, and the second shuffle of `fetch_20newsgroups`."""
    root = write(tmp_path / "news", POSTS)
    loaded = load_files(root / FOLDER, encoding="latin1")
    places = np.arange(len(loaded.data))
    np.random.RandomState(42).shuffle(places)
    texts = [loaded.data[place] for place in places]
    file = put(tmp_path / "x.pkl", {str(place): f" about {text}\n" for place, text in enumerate(texts)})
    declaration = newsgroups(root, folders={FOLDER: "test", "20news-bydate-train": "train"})
    found = converted(declaration, file, tmp_path)
    assert found == {
        f"{path}": f"about {content.decode()}" for path, content in POSTS.items() if path.startswith(FOLDER)
    }
    out = tmp_path / "out.json"
    out.write_text(json.dumps(found))
    alone = newsgroups(root, folders={FOLDER: "test"}, summaries=out)
    frame = read(alone, tmp_path).frame
    assert set(frame.loc[frame["split"] == "test", "text"]) == set(found.values())


def nano(root: Path) -> Beir:
    (root / "qrels").mkdir(parents=True)
    for name, ids in (("corpus", ("31", "4")), ("queries", ("1",))):
        rows = [json.dumps({"_id": one, "text": f"text {one}"}) for one in ids]
        (root / f"{name}.jsonl").write_text("\n".join(rows))
    (root / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\t31\t1\n")
    retrieval = {"query": "query", "gallery": "gallery"}
    return Beir.model_validate({"layout": "beir", "root": root, "vocabulary": "none", "retrieval": retrieval})


def test_ids_of_nanobeir(tmp_path):
    declaration = nano(tmp_path / "nano")
    assert converted(declaration, put(tmp_path / "x.pkl", {"4": "four", "31": "many"}), tmp_path) == {
        "31": "many",
        "4": "four",
    }
    with pytest.raises(DatasetError, match=r"1 ids that are no document of .*5"):
        converted(declaration, put(tmp_path / "x.pkl", {"5": "four"}), tmp_path)


def test_places_in_imdbs_table(tmp_path):
    """The table has other white space and quotes, another order, and a review that is there twice."""
    files = {
        "train/pos/0_9": "Good — really. <br />",
        "test/neg/1_2": "Bad.",
        "test/neg/0_1": "Bad.",
        "test/pos/3_8": "Fine",
        "train/neg/7_1": "Ugh, no",
    }
    for path, text in files.items():
        file = tmp_path / "imdb" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    table = tmp_path / "IMDB_Dataset.csv"
    lines = [
        "Bad.,negative",
        "Fine,positive",
        '"Ugh,  no",negative',
        "Bad.,negative",
        "Good - really.  <br />,positive",
    ]
    table.write_text("\n".join(["review,sentiment", *lines]))
    raw = entries.rows("datasets")["imdb"] | {"root": tmp_path / "imdb", "sizes": {}, "vocabulary": "none"}
    declared = Documents.model_validate(raw)
    file = put(tmp_path / "x.pkl", {str(place): text for place, text in enumerate("abcde")})
    assert converted(declared, file, tmp_path, table) == {
        "test/neg/0_1": "a", "test/pos/3_8": "b", "train/neg/7_1": "c", "test/neg/1_2": "d", "train/pos/0_9": "e",
    }  # fmt: skip
    table.write_text("\n".join(["review,sentiment", "Another,positive"]))
    with pytest.raises(DatasetError, match=r"IMDB_Dataset.csv line 2: 'Another' is no document of"):
        converted(declared, file, tmp_path, table)
    with pytest.raises(DatasetError, match="have ids: give no table"):
        converted(nano(tmp_path / "nano"), put(tmp_path / "y.pkl", {"4": "four"}), tmp_path, table)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"0": Evil()}, "no whole pickle of plain values"),
        (["a"], "no dictionary of texts"),
        ({"0": 3}, "no dictionary of texts"),
        ({"0": "a"}, "are 1, and 20news-bydate-test has 8"),
        ({str(place + 1): "a" for place in range(8)}, "places from 0 to 7; it has 8 too"),
    ],
)
def test_what_is_no_such_file(tmp_path, capsys, held, message):
    declaration = newsgroups(write(tmp_path / "news", POSTS), folders={FOLDER: "test"})
    with pytest.raises(DatasetError, match=message):
        converted(declaration, put(tmp_path / "x.pkl", held), tmp_path)
    assert "executed" not in capsys.readouterr().out


def test_the_command_refuses_a_set_of_images(tmp_path):
    words = ["datasets", "summaries", "cub", str(tmp_path / "x.pkl"), str(tmp_path / "out.json")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code and "cub is no dataset of documents" in str(done.exception) + done.output
