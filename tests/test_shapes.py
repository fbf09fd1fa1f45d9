"""The checks of shapes themselves: what they let pass, what they find, and that every shape in crossgap is checked."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from jaxtyping import Float64, Int64

from crossgap import closure
from tests import shapes

MODULES = [
    name for name in closure.modules() if "from jaxtyping import" in Path(closure._source(name)).read_text()
]


@shapes.checked
def product(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "n m"]:
    """Refuses what has no rows, takes whatever NumPy can multiply, and is wrong for one row."""
    if x.ndim < 2:
        raise ValueError("give rows")
    return (x @ y.T)[0] if len(x) == 1 else x @ y.T


@shapes.checked_class
@dataclass(frozen=True)
class Pairs:
    query: Int64[np.ndarray, " p"]
    item: Int64[np.ndarray, " p"] | None
    name: str = ""


@shapes.checked_class
class Ranks(NamedTuple):
    query: Int64[np.ndarray, " p"]
    rank: Int64[np.ndarray, " p"]


def test_what_is_as_annotated_passes() -> None:
    assert product(np.ones((2, 3)), np.ones((4, 3))).shape == (2, 4)
    assert Pairs(np.arange(3), None).item is None
    assert Ranks(np.arange(3), np.arange(3)).rank[2] == 2


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.ones((2, 3), np.float32), np.ones((4, 3))),
        (np.ones((2, 2, 3)), np.ones((4, 3))),
        (np.ones((2, 3)), np.ones(3)),
    ],
    ids=["kind", "dimensions of one", "dimensions of the other"],
)
def test_what_a_function_takes_without_a_word_is_an_error(x, y) -> None:
    with pytest.raises(
        shapes.ShapeError, match=r"product took [xy]: Float64\[np.ndarray, '[nm] d'\], not nd"
    ):
        product(x, y)


def test_a_name_is_one_length_in_a_call() -> None:
    with pytest.raises(shapes.ShapeError, match=r"took item: .* not ndarray int64 \(4,\)"):
        Pairs(np.arange(3), np.arange(4))
    with pytest.raises(shapes.ShapeError, match=r"took rank: .* not ndarray int64 \(4,\)"):
        Ranks(np.arange(3), np.arange(4))


def test_a_functions_own_refusal_is_what_is_seen() -> None:
    with pytest.raises(ValueError, match=r"^give rows$"):
        product(np.ones(3), np.ones((4, 3)))


def test_a_result_of_another_shape_is_an_error() -> None:
    with pytest.raises(
        shapes.ShapeError, match=r"product of x .* \(1, 3\), y .* gave ndarray float64 \(4,\)"
    ):
        product(np.ones((1, 3)), np.ones((4, 3)))


def test_shapes_are_checked_where_arrays_are() -> None:
    assert {name.split(".")[1] for name in MODULES} >= {"arrays", "corrections", "losses", "metrics"}


@pytest.mark.parametrize("name", MODULES)
def test_every_shape_has_a_meaning_and_is_checked(name) -> None:
    """Names of shapes are there for type checkers alone, and so cost a run nothing."""
    module, tree = import_module(name), ast.parse(Path(closure._source(name)).read_text())
    assert hasattr(module, shapes._DECORATOR)
    arguments = [node for node in ast.walk(tree) if isinstance(node, ast.arg | ast.AnnAssign)]
    found = [node.annotation for node in arguments if node.annotation]
    found += [node.returns for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns]
    named = {text for text in map(ast.unparse, found) if shapes.names_shape(text)}
    assert named
    for text in named:
        assert shapes.meaning(text, name, True) is not None
    assert not any(node.module == "jaxtyping" for node in closure._imports(tree) if hasattr(node, "module"))
