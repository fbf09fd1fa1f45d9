"""Datasets without images through every stage of the real DVC: one by labels, one by judgements; in order."""

from __future__ import annotations

import json

import numpy as np
import pytest
import timm
import torch

from crossgap import open_store
from tests.rows import unit

pytestmark = pytest.mark.slow

CLASSES = {
    "rec.autos": (
        "a post about cars.",
        ["My red car.", "A blue car on the left.", "Two cars at night, " * 40],
    ),
    "sci.space": ("a post about space.", ["A large star.", "Stars at night.", "The moon, a white circle."]),
}
QUERIES = {"1": "a red circle", "2": "a star at night", "3": "a blue square", "4": "that nobody judged"}
CORPUS = {f"d{number}": text for number, text in enumerate(
    ["a small red circle", "red", "a star", "night", "a blue square on the left", "a blue star", "a green ring"]
)}  # fmt: skip
GRADES = {("1", "d0"): 2, ("1", "d1"): 1, ("2", "d2"): 1, ("2", "d5"): 1, ("2", "d4"): 0, ("3", "d4"): 1}
DATASETS = ["posts", "facts"]


@pytest.fixture(scope="module")
def done(project):
    """The project after `dvc repro`, its posts as 20 Newsgroups' lie on disk, its facts as BEIR's."""
    for label, (_, texts) in CLASSES.items():
        folder = project / "raw/posts/20news-bydate-test" / label
        folder.mkdir(parents=True)
        for number, text in enumerate(texts):
            (folder / str(number)).write_text(text)
    (project / "raw/facts/qrels").mkdir(parents=True)
    for name, texts in (
        ("queries", QUERIES),
        ("corpus", {key: "At length: " * 90 + text for key, text in CORPUS.items()}),
    ):
        lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
        (project / f"raw/facts/{name}.jsonl").write_text("\n".join(lines))
    rows = ["query-id\tcorpus-id\tscore", *(f"{q}\t{d}\t{grade}" for (q, d), grade in GRADES.items())]
    (project / "raw/facts/qrels/test.tsv").write_text("\n".join(rows))
    (project / "raw/summaries.json").write_text(json.dumps(CORPUS))
    cells = {"backbones": ["nano"], "datasets": DATASETS}
    seeds = {"backbones": ["nano"], "datasets": ["facts"], "methods": ["oti", "ovi"], "seeds": [1]}
    project.edit(
        **{
            "datasets": {
                "posts": {
                    "layout": "documents",
                    "root": "raw/posts",
                    "folders": {"20news-bydate-test": "test"},
                    "queries": {label: asks for label, (asks, _) in CLASSES.items()},
                    "retrieval": {"query": "query", "gallery": "test"},
                    "vocabulary": "world",
                },
                "facts": {
                    "layout": "beir",
                    "root": "raw/facts",
                    "summaries": "raw/summaries.json",
                    "retrieval": {"query": "query", "gallery": "gallery"},
                    "vocabulary": "world",
                },
            },
            "run": project.run_of(**cells, oti=cells, ovi=cells, seeds=seeds),
            "ovi.snapshots": [1],
        }
    )
    project.repro("report")
    return project


def store_of(project, dataset: str, name: str = "native"):
    return open_store(project / f"data/features/nano/{dataset}/{name}.zarr.zip")


def mean_ap(queries, gallery, relevant: dict[str, set[str]]) -> float:
    """Over the queries of a group, of the precisions at each relevant item down a ranking by cosine."""

    found = []
    for query, row in zip(queries.ids, unit(queries.features), strict=True):
        ranking = [gallery.ids[at] for at in np.argsort(-(unit(gallery.features) @ row), kind="stable")]
        hits = [place for place, name in enumerate(ranking, start=1) if name in relevant[query]]
        found.append(np.mean([number / place for number, place in enumerate(hits, start=1)]))
    return float(np.mean(found))


@pytest.mark.parametrize("dataset", DATASETS)
def test_text_to_text_is_measured_with_native_and_inverted_queries(done, dataset) -> None:
    native, ovi = store_of(done, dataset), store_of(done, dataset, "ovi")
    gallery = native["text/test" if dataset == "posts" else "text/gallery"]
    if dataset == "posts":
        relevance = "class"
        labels = gallery.labels["class"]
        relevant = {f"query/{label}": set(gallery.ids[labels == label]) for label in CLASSES}
    else:
        relevance = "judged"
        relevant = {
            f"query/{q}": {d for (of, d), grade in GRADES.items() if of == q and grade > 0} for q in "123"
        }
    found = done.metrics(f"nano/{dataset}")
    assert set(native["text/query"].ids) == set(relevant)
    for task, store in (("text-text", native), ("ovi-text", ovi)):
        wanted = mean_ap(store["text/query"], gallery, relevant)
        assert found[f"retrieval/{task}/{relevance}/mAP"] == pytest.approx(wanted, abs=1e-6)
    assert not any(
        name.startswith(("gap/", "classification/", "clustering/", "items/image")) for name in found
    )
    assert f"retrieval/text-text+centering/{relevance}/mAP" in found


def test_there_is_nothing_for_oti_to_invert(done) -> None:
    for dataset, name in (("posts", "oti"), ("facts", "oti"), ("facts", "oti-seed-1")):
        store = store_of(done, dataset, name)
        assert store.groups == []
        assert store.provenance["not_applicable"] == "the dataset has no images in the split 'query'"
    assert "seeds/ovi-text/judged/mAP_mean" in done.metrics("nano/facts")


def test_what_is_cut_or_summarised_is_said(done, page_text) -> None:
    posts, facts = (done.metrics(f"nano/{dataset}") for dataset in DATASETS)
    assert posts["items/text/test/truncated"] == 1 and facts["items/text/gallery/truncated"] == 0
    page = page_text(done / "data/report/index.html")
    assert "cut there, and only their heads count: 1 of 6 of test." in page
    assert "stood for by summaries, those in raw/summaries.json." in page
    folder = done / "data/metrics/nano"
    said = {
        dataset: json.loads((folder / dataset / "tables/provenance.json").read_text()).get("summaries")
        for dataset in DATASETS
    }
    assert said == {"posts": None, "facts": "raw/summaries.json"}


def test_nothing_runs_again(done) -> None:
    assert done.repro("report") == set()


def test_an_image_only_control_has_nothing_to_do_with_texts(done) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("convnext_atto").state_dict(), done / "control.pth")
    weights = {"model": "timm:convnext_atto.d2_in1k", "pretrained": "control.pth"}
    cells = {"backbones": ["control"], "datasets": ["facts"]}
    done.edit(
        **{
            "backbones.control": {"weights": weights, "oti": {"tokens": 1}, "ovi": {"patches": 1}},
            "run": done.run_of(**cells, oti=cells, ovi=cells),
        }
    )
    done.repro("report")
    native = open_store(done / "data/features/control/facts/native.zarr.zip")
    assert native.groups == [] and native.provenance["texts_left_out"] > 0
    assert done.metrics("control/facts") == {}
    assert "Its gap was not measured" in (done / "data/report/index.html").read_text()
