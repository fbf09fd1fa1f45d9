"""Figures and the table of the idealised study and of the trainings, from a project's folder."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from crossgap.cli import app
from tests.report.test_idealised import experiment


@pytest.fixture
def project(tmp_path, monkeypatch):
    """One experiment and one training; its root is where commands run."""
    study = experiment("toy")
    resolved, tables = tmp_path / "data/resolved", tmp_path / "data/metrics/idealised/toy/tables"
    curves = tmp_path / "data/metrics/training/tuned/plots/metrics"
    for folder in (resolved, tables, curves):
        folder.mkdir(parents=True)
    (resolved / "report.json").write_text(
        json.dumps({"idealised": ["toy"], "trainings": ["tuned", "waiting"]})
    )
    for name in ("curves", "runs", "toy"):
        getattr(study, name).to_csv(tables / f"{name}.csv", index=False)
    for name in ("loss", "centroid_distance"):
        (curves / f"{name}.tsv").write_text(f"step\t{name}\n1\t2.0\n5\t1.0\n")
    (curves.parents[1] / "recipe.json").write_text(json.dumps({"losses": {"clip": 1}, "seed": 0}))
    monkeypatch.chdir(tmp_path)
    return study


def told(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def words_of(svg) -> set[str]:
    return set(re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text(encoding="utf-8")))


def test_figures_say_what_they_show_and_are_the_same_again(project, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    assert told("figure", "idealised") == "idealised.svg: toy\n"
    assert {
        "loss",
        "centroid distance",
        "linear separability",
        "base",
        "published, 512 dimensions",
        "step",
    } <= words_of(tmp_path / "idealised.svg")
    told("figure", "idealised", "--output", "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "idealised.svg").read_bytes()
    assert told("figure", "trainings", "--format", "pdf") == "trainings.pdf: tuned\n"
    assert (tmp_path / "trainings.pdf").read_bytes().startswith(b"%PDF-")


def test_the_table_has_means_over_seeds_and_published_figures_below_the_base_run(project) -> None:
    rows = json.loads(told("table", "idealised", "--json"))
    runs = project.runs
    base = runs[runs["run"] == "base"].iloc[0]
    settings = ["width", "batch_size", "temperature", "mismatched", "gap", "shared", "images", "epochs"]
    like = runs[(runs[settings] == base[settings]).all(axis=1)]
    found = [row for row in rows if row["published"] is not None]
    assert {row["column"]: row["published"] for row in found} == {
        "centroid distance": 0.06, "linear separability": 1.0,
    }  # fmt: skip
    for row in found:
        column = row["column"].replace(" ", "_")
        assert row["measured"] == pytest.approx(sum(like[f"{column}_last"]) / len(like))
    latex = told("table", "idealised", "--format", "latex")
    assert latex.count("published} &") == 0 and latex.count("quad published") == 1 and "\\toprule" in latex
