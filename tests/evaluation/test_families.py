"""Evaluations of some families of measures: their numbers are those of an evaluation of all."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

import crossgap.evaluation
from crossgap.errors import CrossgapError
from crossgap.evaluation import Cell, Evaluation, evaluate
from crossgap.evaluation.options import FAMILIES, OF_RETRIEVAL

ALWAYS = {"corrections", "comparisons"}
ASKED = {"resamples": 49, "shots": [1], "draws": 2, "corrections": ["centering", "nnn"], "clouds": 5}
PREFIXES = {"ceiling": "retrieval_ceiling"}  # of metrics; else the family's own name
TABLES = {
    "retrieval": ["queries"],
    "classification": ["predictions"],
    "similarity": ["similarities", "histograms"],
    "mixed": ["mixed"],
    "composed": ["composed"],
    "arithmetic": ["arithmetic"],
    "shift": ["shifts"],
    "dimensions": ["dimensions"],
    "spectrum": ["spectrum"],
    "clouds": ["clouds"],
    "snapshots": ["steps", "curves"],
    "seeds": ["seeds"],
    "looked": ["looked_at"],
}


@pytest.fixture(scope="module")
def large(cell) -> Cell:
    """The small cell, of whose images text changes the colour."""
    return Cell(
        cell.native,
        cell.main("image"),
        None,
        "test",
        "test",
        seeds=cell.of_seeds("oti"),
        support="train",
        arithmetic={"colour": "shape"},
    )


@pytest.fixture(scope="module")
def whole(large) -> Evaluation:
    return evaluate(large, **ASKED)


def of_family(found: Evaluation, family: str) -> dict[str, float]:
    prefix = PREFIXES.get(family, family) + "/"
    return {name: value for name, value in found.metrics.items() if name.startswith(prefix)}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_alone_says_what_it_says_among_all(large, whole, family):
    asked = [*(["retrieval"] if family in OF_RETRIEVAL else []), family]
    found = evaluate(large, families=asked, **ASKED)
    others = [name for name in FAMILIES if name not in asked]
    for name in asked:
        assert of_family(found, name) == of_family(whole, name)
        for table in TABLES.get(name, []):
            pd.testing.assert_frame_equal(getattr(found, table), getattr(whole, table))
        own, wanted = (
            held.comparisons[held.comparisons["family"] == name].to_dict("records") for held in (found, whole)
        )
        assert own == wanted
    for name in others:
        assert not of_family(found, name)
        for table in TABLES.get(name, []):
            # the last step of the main inversion is retrieval's
            assert table in ("steps", "curves") or not len(getattr(found, table))
    why = found.unavailable[found.unavailable["reason"] == "evaluate.families leaves it out"]
    there = {name for name in others if of_family(whole, name) or _rows(whole, name)}
    if "retrieval" not in asked:
        there -= {"looked"}  # at rankings that there aren't
    assert set(why["family"]) - {"ceiling"} == there
    assert set(found.comparisons["family"]) <= set(asked)


def _rows(found: Evaluation, family: str) -> bool:
    return any(len(getattr(found, table)) for table in TABLES.get(family, []))


def test_the_small_cell_has_nearly_all_families(whole):
    held = {name for name in FAMILIES if of_family(whole, name) or _rows(whole, name)}
    assert set(FAMILIES) - held == {"ceiling", "composed"}
    tables = {table for of in TABLES.values() for table in of}
    beside = {"metrics", "comparisons", "corrections", "unavailable", "set_aside", "measured_on"}
    assert {field.name for field in fields(Evaluation)} == tables | beside


def test_every_part_is_of_a_family_that_can_be_asked_for():
    named = set()
    for file in Path(crossgap.evaluation.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr == "part" and isinstance(node.args[0], ast.Constant):
                    named.add(node.args[0].value)
                elif node.func.attr == "part":
                    assert ast.unparse(node.args[0]) == "curve.family", file
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Curve":
                named.add(node.args[0].value)
    assert named == {*FAMILIES, *ALWAYS}


@pytest.mark.parametrize(
    ("families", "words"),
    [
        (["hubs"], "families"),
        ([], "families"),
        (["gap", "gap"], "families"),
        (["seeds", "gap"], "seeds without retrieval, by whose tables it is measured: name it too"),
    ],
)
def test_families_that_cannot_be_measured_are_refused(large, families, words):
    with pytest.raises(CrossgapError, match=words):
        evaluate(large, families=families)
