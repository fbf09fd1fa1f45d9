from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from pydantic import ValidationError

from crossgap.datasets import world
from crossgap.training.batches import _members, batch
from crossgap.training.nano_recipe import Groups, NanoRecipe

RECIPE = {
    "steps": 1,
    "batch_size": 64,
    "groups": [
        {"vary": ["shape"], "size": 8, "share": 0.5},
        {"vary": ["texture", "place"], "size": 16, "share": 0.3},
        {"vary": list(world.FACTORS), "size": 32, "share": 0.2, "say": False},
    ],
    "model": {},
}


def test_batches_are_a_function_of_recipe_and_step() -> None:
    recipe = NanoRecipe(**RECIPE)
    pairs, again = batch(recipe, 3), batch(recipe, 3)
    np.testing.assert_array_equal(again.images, pairs.images)
    assert again.texts == pairs.texts
    assert batch(recipe, 4).texts != pairs.texts
    assert batch(recipe.model_copy(update={"seed": 1}), 3).texts != pairs.texts
    assert pairs.images.shape == (64, 32, 32, 3) and pairs.images.dtype == np.uint8
    assert len(pairs.texts) == len(pairs.scenes) == len(pairs.mentions) == 64
    assert not world.held_out(pairs.scenes).any()


def test_captions_say_what_varies_and_the_truth() -> None:
    pairs = batch(NanoRecipe(**RECIPE), 0)
    said = pairs.mentions != world.UNSAID
    assert (pairs.mentions == pairs.scenes)[said].all()
    factors = list(world.FACTORS)
    assert said[:32, factors.index("shape")].all()
    assert said[32:51, [factors.index("texture"), factors.index("place")]].all()
    assert not said[51:].all()
    assert not said[:32, factors.index("colour")].all()


@pytest.mark.parametrize("vary", [["shape"], ["size", "place"], ["place", "shape", "texture"]])
def test_members_differ_in_what_varies_alone(vary) -> None:
    scenes, say = _members(0, 5, 0, Groups(vary=vary, size=16, share=1.0), 200)
    assert scenes.shape == say.shape == (200, 6) and not world.held_out(scenes).any()
    assert (say == [factor in vary for factor in world.FACTORS]).all()
    fixed = [number for number, factor in enumerate(world.FACTORS) if factor not in vary]
    groups = defaultdict(list)
    for scene in scenes.tolist():
        groups[tuple(scene[f] for f in fixed)].append(tuple(scene))
    assert all(len(set(members)) == len(members) for members in groups.values())
    assert np.mean([len(members) for members in groups.values()]) > 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": [{"vary": ["shape"], "size": 8, "share": 0.5}]}, "add up to 0.5"),
        ({"groups": [{"vary": ["smell"], "size": 8, "share": 1.0}]}, "'shape', 'colour'"),
        ({"stepz": 3}, "stepz"),
        ({"lr": 0}, "lr"),
    ],
)
def test_a_wrong_recipe_is_refused(change, message) -> None:
    with pytest.raises(ValidationError, match=message):
        NanoRecipe(**{**RECIPE, **change})
