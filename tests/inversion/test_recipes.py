from __future__ import annotations

import json

import pytest

from crossgap.inversion.recipes import PRESETS, Continued, Recipe, recipe


def test_presets_are_the_papers_recipes_and_faster_ones() -> None:
    for method, steps in (("oti", 150), ("ovi", 1000)):
        paper = recipe(method)
        assert (paper.steps, paper.lr, paper.weight_decay) == (steps, 0.02, 0.01)
        assert paper.snapshots == () and paper.patience is None
    fast, lbfgs = recipe("ovi", "fast"), [recipe(method, "lbfgs") for method in ("oti", "ovi")]
    assert (fast.steps, fast.lr, fast.weight_decay) == (200, 0.15, 0.01)
    assert [(of.steps, of.optimiser) for of in lbfgs] == [(60, "lbfgs"), (100, "lbfgs")]


def test_values_beside_a_preset_change_it_and_none_leaves_it() -> None:
    changed = recipe("ovi", "fast", steps=7, lr=None, seed=3)
    assert changed.steps == 7 and changed.lr == PRESETS["ovi"]["fast"]["lr"] and changed.seed == 3


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="preset 'quick' is none of ovi's: paper, fast, lbfgs"):
        recipe("ovi", "quick")
    with pytest.raises(ValueError, match="preset 'fast' is none of oti's: paper, lbfgs"):
        recipe("oti", "fast")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps 0 is out of range: give at least 1"),
        ({"lr": 0}, "lr 0 is out of range"),
        ({"lr": float("nan")}, "lr nan is out of range"),
        ({"lr": float("inf")}, "lr inf is out of range"),
        ({"lr": 1e38}, r"lr 1e\+38 is out of range: give a number above zero, 1e\+30 at most"),
        ({"lr": "0.1"}, "lr is '0.1': give a number"),
        ({"lr": None}, "lr is None: give a number"),
        ({"weight_decay": "0"}, "weight_decay is '0': give a number"),
        ({"tolerance": None}, "tolerance is None: give a number"),
        ({"steps": True}, "steps is True: give a whole number"),
        ({"seed": False}, "seed is False: give a whole number"),
        ({"patience": 1.5}, "patience is 1.5: give a whole number"),
        ({"snapshots": 1}, "snapshots is 1: give whole numbers of steps"),
        ({"snapshots": "12"}, "snapshots is '12': give whole numbers of steps"),
        ({"snapshots": [0.5, 1]}, r"snapshots is \[0.5, 1\]: give whole numbers of steps"),
        ({"snapshots": [float("nan")]}, r"snapshots is \[nan\]: give whole numbers of steps"),
        ({"weight_decay": -1}, "weight_decay -1 is out of range"),
        ({"weight_decay": 60}, "weight_decay 60 is out of range: give one from zero to below 1 / lr"),
        ({"snapshots": [5, 3]}, r"snapshots \(5, 3\) is out of range: give steps in ascending order"),
        ({"snapshots": [3, 3]}, "in ascending order"),
        ({"snapshots": [-1]}, "give steps from 0"),
        ({"patience": 0}, "patience 0 is out of range"),
        ({"tolerance": -1e-3}, "tolerance -0.001 is out of range"),
        ({"optimiser": "adam"}, "optimiser 'adam' is out of range: give one of adamw, lbfgs"),
        ({"optimiser": "lbfgs", "lr": 0.1}, "lr 0.1 is out of range: leave it out, lbfgs has none"),
        (
            {"optimiser": "lbfgs", "weight_decay": 0},
            "weight_decay 0 is out of range: leave it out, lbfgs has none",
        ),
    ],
)
def test_values_out_of_range_are_refused_by_name(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**{"steps": 10, **values})


def test_snapshots_beyond_the_last_step_are_not_reached() -> None:
    assert Recipe(10, snapshots=[0, 5, 10, 11]).reached == (0, 5, 10)
    assert Recipe(10, snapshots=(step for step in (5, 11))).reached == (5,)


def test_a_recipe_says_all_that_a_result_depends_on() -> None:
    base = Recipe(10)
    assert json.loads(json.dumps(base.as_dict())) == base.as_dict()
    changes = [
        {"steps": 11},
        {"lr": 0.1},
        {"weight_decay": 0.0},
        {"seed": 1},
        {"snapshots": (5,)},
        {"snapshot_tokens": True},
        {"patience": 3},
        {"patience": 3, "tolerance": 0.1},
        {"optimiser": "lbfgs"},
    ]
    dicts = [base.as_dict(), *(Recipe(**{"steps": 10, **change}).as_dict() for change in changes)]
    assert len({json.dumps(found, sort_keys=True) for found in dicts}) == len(changes) + 1
    # what changes nothing is not in it
    assert Recipe(10, tolerance=0.1).as_dict() == base.as_dict()
    assert Recipe(10, snapshots=[99]).as_dict() == base.as_dict()
    assert not {"optimiser", "patience"} & set(base.as_dict())
    assert not {"lr", "weight_decay"} & set(Recipe(10, optimiser="lbfgs").as_dict())


def test_what_starts_from_a_network_has_no_noise_and_says_no_seed() -> None:
    assert Continued(0, seed=1).as_dict() == Continued(0).as_dict()
    assert Continued(5).as_dict().keys() == Recipe(5).as_dict().keys() - {"seed"}
