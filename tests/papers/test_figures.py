"""Figures of a cell: what they say is read from the SVG that is drawn."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from crossgap import numbers
from crossgap.cli import app
from crossgap.errors import CrossgapError
from crossgap.papers.figures import FIGURES, drawn
from crossgap.report.results import Results

TEST = {"family": "retrieval", "metric": "mAP", "p": 0.01, "queries": 9, "baseline_value": 0.4}
COMPARISONS = pd.DataFrame(
    [
        TEST | {"task": task, "baseline": "image-image", "relevance": by, "value": 0.4 + gain, "difference": gain,
                "low": gain - 0.1, "high": gain + 0.1, "p_adjusted": p}
        for task, by, gain, p in (
            ("oti-image", "colour", 0.3, 0.01), ("oti-image", "shape", -0.2, 0.02),
            ("image-image+centering", "colour", 0.05, 0.7),
        )
    ]
)  # fmt: skip
METRICS = {f"retrieval/{task}/{by}/mAP": 0.4 for task in ("image-image", "oti-image", "image-image+centering")
           for by in ("colour", "shape")}  # fmt: skip
CURVES = pd.DataFrame(
    {"task": "oti-image", "tokens": tokens, "relevance": "colour", "step": step, "loss": 0.1, "mAP": 0.01 * step,
     "baseline": 0.3}
    for tokens in (1, 4) for step in (5, 50, 150)
)  # fmt: skip
CLOUDS = pd.DataFrame(
    {"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 0.5], "modality": ["image", "text", "oti"], "id": ["a", "b", "c"]}
)
HISTOGRAMS = pd.DataFrame(
    {"pair": "image-image", "relevance": "colour", "tokens": None, "step": None, "matching": matching, "left": 0.1,
     "right": 0.2, "density": 10.0}
    for matching in (True, False)
)  # fmt: skip
CELL = Results(
    "nano", "world", METRICS | {"gap/centroid_distance": 0.6439}, comparisons=COMPARISONS, curves=CURVES, clouds=CLOUDS,
    histograms=HISTOGRAMS,
)  # fmt: skip
SAID = {
    "effects": ["nano · world", "image-image, colour", "image-image, shape", "OTI-image", "centering"],
    "steps": ["OTI-image, colour", "1 pseudo-token", "4 pseudo-tokens", "native features", "150"],
    "gap": ["centroid distance 0.644", "images", "texts", "images by OTI"],
    "similarities": ["matching pairs", "other pairs", "cosine similarity, by colour"],
}


@pytest.mark.parametrize("kind", FIGURES)
def test_a_figure_says_what_it_shows_and_is_the_same_again(kind, tmp_path) -> None:
    drawn(kind, CELL, tmp_path / "one.svg")
    drawn(kind, CELL, tmp_path / "two.svg")
    text = (tmp_path / "one.svg").read_text(encoding="utf-8")
    said = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    assert {*SAID[kind]} <= {word for one in said for word in (one, *re.split(": |; ", one))}
    assert (tmp_path / "two.svg").read_text(encoding="utf-8") == text
    with pytest.raises(CrossgapError, match="nano · world"):
        drawn(kind, Results("nano", "world", {}), tmp_path / "none.svg")


def _of_many(kind: str) -> Results:
    """A cell of many labellings, methods and steps."""
    labellings = [f"attribute-{number}" for number in range(40)]
    if kind == "effects":
        tables = [
            COMPARISONS[:1].assign(task=f"oti-image+{method}", relevance=by)
            for by in labellings
            for method in ("centering", "standardisation", "whitening", "isoclip", "pca_plus")
        ]
        tasks = ["image-image", *(one["task"].iloc[0] for one in tables)]
        metrics = {f"retrieval/{task}/{by}/mAP": 0.4 for task in tasks for by in labellings}
        return Results("nano", "world", metrics, comparisons=pd.concat(tables, ignore_index=True))
    if kind == "steps":
        tables = [CURVES.assign(relevance=by) for by in labellings]
        return Results("nano", "world", METRICS, curves=pd.concat(tables, ignore_index=True))
    tables = [
        HISTOGRAMS.assign(pair="oti-image", tokens=tokens, step=step)
        for tokens in (1, 2, 4, 8, 16)
        for step in range(10, 110, 10)
    ]
    return Results("nano", "world", {}, histograms=pd.concat([HISTOGRAMS, *tables], ignore_index=True))


def _size(path: Path) -> tuple[float, float]:
    """Width and height of an SVG, in inches."""
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', path.read_text(encoding="utf-8"))[:2]
    return float(width) / 72, float(height) / 72


@pytest.mark.parametrize(
    ("kind", "last"),
    [("effects", "image-image, attribute-9"), ("steps", "OTI-image, attribute-9"),
     ("similarities", "OTI-image, R or P = 16, step 100")],
)  # fmt: skip
def test_a_figure_of_many_panels_is_no_taller_than_a_page(kind, last, tmp_path) -> None:
    drawn(kind, _of_many(kind), tmp_path / "many.svg")
    width, height = _size(tmp_path / "many.svg")
    assert height <= 1.41 * width
    assert f">{last}<" in (tmp_path / "many.svg").read_text(encoding="utf-8")


def test_a_few_similarities_stand_below_each_other(tmp_path) -> None:
    drawn("similarities", CELL, tmp_path / "one.svg")
    assert _size(tmp_path / "one.svg") == pytest.approx((4.5, 1.4))


def test_effects_are_filled_where_they_are_significant(tmp_path) -> None:
    """Blue better, orange worse, grey undecided: one of each."""
    drawn("effects", CELL, tmp_path / "effects.svg")
    text = (tmp_path / "effects.svg").read_text(encoding="utf-8").lower()
    marks = re.findall(r'<use [^>]*style="fill: (#\w+|none)?; ?stroke: (#\w+)"', text)
    assert [mark for mark in marks if mark[1] != "#000000"] == [
        ("#0072b2", "#0072b2"),
        ("#ffffff", "#767676"),
        ("#d55e00", "#d55e00"),
    ]


def test_steps_of_millions_keep_their_digits(tmp_path) -> None:
    long = Results("nano", "world", METRICS, curves=CURVES.replace({"step": {150: 1_234_567}}))
    drawn("steps", long, tmp_path / "steps.svg")
    assert ">1234567<" in (tmp_path / "steps.svg").read_text(encoding="utf-8")


def test_what_ovi_learns_is_called_patches(tmp_path) -> None:
    by_ovi = CURVES.assign(task="ovi-text", relevance="group")
    both = Results("nano", "world", METRICS, curves=pd.concat([CURVES, by_ovi], ignore_index=True))
    drawn("steps", both, tmp_path / "steps.svg")
    text = (tmp_path / "steps.svg").read_text(encoding="utf-8")
    for words in ("1 pseudo-token", "4 pseudo-tokens", "1 pseudo-patch", "4 pseudo-patches"):
        assert f">{words}<" in text


def test_similarities_are_by_a_labelling_and_not_by_a_control_on_some_of_its_classes(tmp_path) -> None:
    both = pd.concat([HISTOGRAMS, HISTOGRAMS.assign(relevance="two-colours")], ignore_index=True)
    cell = Results("nano", "world", {}, histograms=both, subsets=["two-colours"])
    drawn("similarities", cell, tmp_path / "similarities.svg")
    assert "cosine similarity, by colour" in (tmp_path / "similarities.svg").read_text(encoding="utf-8")


def test_similarities_are_by_the_relevance_that_the_page_shows(tmp_path) -> None:
    across = HISTOGRAMS.assign(pair="text-image", relevance="group")
    rows = [across, *(HISTOGRAMS.assign(relevance=name) for name in ("shape", "colour"))]
    cell = Results("nano", "world", {}, histograms=pd.concat(rows, ignore_index=True))
    drawn("similarities", cell, tmp_path / "similarities.svg")
    assert "cosine similarity, by colour" in (tmp_path / "similarities.svg").read_text(encoding="utf-8")


def test_a_pdf_is_one_and_other_kinds_are_refused(tmp_path, monkeypatch) -> None:
    drawn("gap", CELL, tmp_path / "gap.pdf")
    assert (tmp_path / "gap.pdf").read_bytes().startswith(b"%PDF-")
    with pytest.raises(
        CrossgapError, match="no figure 'gaps'; did you mean 'gap'\\?; there are effects, steps"
    ):
        drawn("gaps", CELL, tmp_path / "gap.pdf")
    with pytest.raises(CrossgapError, match=r"gap\.doc: a figure is written as svg, pdf, png"):
        drawn("gap", CELL, tmp_path / "gap.doc")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(CrossgapError, match=r"pip install 'crossgap\[figures\]'"):
        drawn("gap", CELL, Path("gap.svg"))


@pytest.fixture
def two_cells(tmp_path, monkeypatch) -> Path:
    """A project of two cells, nano/broken, whose numbers are cut short, and nano/world, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    named = {"published": None, "query": "test", "gallery": "test"}
    run = [
        {"backbone": "nano", "dataset": name, "folder": ["nano", name], **named}
        for name in ("broken", "world")
    ]
    (tmp_path / "data/resolved").mkdir(parents=True)
    (tmp_path / "data/resolved/report.json").write_text(json.dumps({"cells": run}))
    for cell in run:
        tables = tmp_path.joinpath("data/metrics", *cell["folder"], "tables")
        tables.mkdir(parents=True)
        numbers.write(tables / "metrics.csv", METRICS)
        (tables / "provenance.json").write_text('{"measured_on": {}, "not_inverted": []}')
        COMPARISONS.to_csv(tables / "comparisons.csv", index=False)
    (tmp_path / "data/metrics/nano/broken/tables/metrics.csv").write_text("family")
    return tmp_path


def test_a_figure_needs_a_measured_cell(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    lost = CliRunner().invoke(app, ["figure", "effects", "nano/world"])
    assert lost.exit_code == 1 and "let `dvc repro` run" in lost.output


def test_the_command_draws_a_cell_that_is_measured(two_cells) -> None:
    broken = CliRunner().invoke(app, ["figure", "effects", "nano/broken"])
    assert broken.exit_code == 1 and "broken/tables/metrics.csv" in broken.output
    done = CliRunner().invoke(app, ["figure", "effects", "nano/world", "--format", "pdf"])
    assert (done.exit_code, done.output) == (0, "effects-nano-world.pdf: nano/world\n")
    assert (two_cells / "effects-nano-world.pdf").read_bytes().startswith(b"%PDF-")


def test_a_damaged_table_is_an_error(two_cells) -> None:
    for held in (b"", b"family,task\nretrieval,oti-im", b'family,task\n"\n', b"family\xff\n"):
        (two_cells / "data/metrics/nano/world/tables/comparisons.csv").write_bytes(held)
        done = CliRunner().invoke(app, ["figure", "effects", "nano/world"])
        assert done.exit_code == 1 and "comparisons.csv is damaged (" in done.output
