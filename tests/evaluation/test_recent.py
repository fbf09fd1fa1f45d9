"""Corrected features that several tasks ask for are made once, and are those of the items that are asked for."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from crossgap.evaluation import corrections
from crossgap.evaluation.corrections import Rivals, apply
from crossgap.evaluation.queries import comparisons
from crossgap.evaluation.recent import Recent
from crossgap.evaluation.work import Work


def test_what_was_asked_for_longest_ago_goes_first():
    recent, made = Recent(100), []

    def ask(key: str, size: int) -> np.ndarray:
        found = recent.of(key, None, lambda: made.append(key) or np.full(size, ord(key), np.uint8))
        assert found is not None and found.tolist() == [ord(key)] * size
        return found

    for key in "abc":
        ask(key, 33)
    ask("a", 33)
    ask("d", 33)  # b goes
    for key in "acd":
        ask(key, 33)
    assert made == [*"abcd"]
    ask("b", 33)
    assert made == [*"abcdb"]
    ask("e", 1000)  # larger than all that there is room for: the last two stay
    for key in "beb":
        ask(key, {"e": 1000}.get(key, 33))
    assert made == [*"abcdbe"] and recent.size == 1033


def test_what_is_not_there_is_asked_for_again_and_what_is_held_is_not_written_to():
    recent = Recent(100)
    assert recent.of("a", None, lambda: None) is None and recent.size == 0
    found = recent.of("a", None, lambda: np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


@pytest.mark.parametrize("most", [0, 2**20])
def test_every_task_gets_its_own_items_corrected(cell, most):
    with mock.patch.object(corrections, "HELD", most):
        rivals = Rivals(Work(cell))
    parts = [(one.modality, items) for one in comparisons(cell) for items in (one.queries, one.gallery)]
    parts += [
        (name.partition("/")[0], cell.items(name)) for name in ("text/test", "text/train", "image/train")
    ]
    parts += [(modality, items.where(np.arange(len(items)) % 3 == 1)) for modality, items in parts]
    parts += [(modality, items.having(items.features[::-1].copy())) for modality, items in parts]
    asked = [(*part, side) for part in parts for side in ("query", "gallery")]
    for variant in rivals.of_features:
        for modality, items, side in [*asked, *asked[::-1]]:
            found = rivals.corrected(variant, items, modality, side)
            expected = apply(rivals.correction(variant), items, modality, side)
            assert (found is None) == (expected is None)
            if found is not None and expected is not None:
                np.testing.assert_array_equal(found.features, expected.features)
                assert found.ids is items.ids


def test_features_of_a_step_of_an_inversion_are_not_those_of_another(cell):
    images = cell.items("image/test")
    keys = {cell.inverted(images, "image/test", step=step).origin.key[1:] for step in (0, 1, None)}
    assert len(keys) == 3


def test_items_that_are_found_anew_are_not_corrected_anew(cell):
    rivals = Rivals(Work(cell), ["centering"])
    with mock.patch.object(corrections, "_corrected", wraps=corrections._corrected) as made:
        for _ in range(3):
            (comparison,) = [one for one in comparisons(cell) if one.modality == "text"]
            assert rivals.pair("centering", "text-text", comparison.queries, comparison.gallery)
    assert made.call_count == 2
