from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossgap.metrics.retrieval import retrieval_metrics

SETS = ("dtd", "oxford_flowers", "fgvc_aircraft")


@pytest.fixture(scope="session")
def b32(real: Path) -> dict[str, dict[str, np.ndarray]]:
    """Arrays of the real ViT-B/32 features by file."""
    folder = real / "clip-vit-b32"
    return {
        name: dict(np.load(folder / f"{name}.npz"))
        for name in (*SETS, "imagenet_class_text", "flickr8k_100x5")
    }


@pytest.fixture(scope="session")
def mean_ap(b32):
    """mAP in points, query test, gallery val, of a set whose both sides a function of features has corrected."""

    def measure(name: str, correct) -> float:
        arrays = b32[name]
        table = retrieval_metrics(
            correct(arrays["test_features"]),
            correct(arrays["val_features"]),
            arrays["test_labels"],
            arrays["val_labels"],
        )
        return 100 * table["ap"].mean()

    return measure
