from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from crossgap.datasets import world
from crossgap.metrics.retrieval.ceiling import recall_ceiling


def of(scenes: np.ndarray, mentions: np.ndarray) -> float:
    return recall_ceiling(scenes, mentions, mentions != world.UNSAID)


def test_recall_ceiling_is_the_chance_of_the_best_guess() -> None:
    indices = np.arange(60)
    scenes = world.scenes("test", indices, 0)
    _, mentions = world.captions(scenes, world.item_keys("test", indices, 0))
    total = Fraction(0)
    for said in mentions.reshape(-1, mentions.shape[-1]).tolist():
        agreeing = [
            scene
            for scene in scenes.tolist()
            if all(a in (b, world.UNSAID) for a, b in zip(said, scene, strict=True))
        ]
        total += Fraction(1, len(agreeing))
    assert of(scenes, mentions.reshape(300, -1)) == pytest.approx(float(total / 300))
    assert of(scenes, scenes) == 1.0
    assert of(scenes, np.full((3, 6), world.UNSAID)) == pytest.approx(1 / 60)
    absent = next(row for row in world.combinations("train", 0) if not (scenes == row).all(axis=1).any())
    with pytest.raises(ValueError, match="agrees with no image"):
        of(scenes, absent[None])
