"""Corrections fitted on another dataset of the run and on a file, on the real DVC."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossgap import numbers, open_store

pytestmark = pytest.mark.slow


def test_another_dataset_and_a_published_mean(project, tmp_path) -> None:
    """A change of the other dataset evaluates again, and is no change of the cell's own features."""
    world = project.declared["datasets"]["world"]
    np.savez(tmp_path / "means.npz", image_mean=np.full(16, 0.1))
    mean = {"image": f"{tmp_path / 'means.npz'}:image_mean"}
    few = {"layout": "world", "seed": 1, "images": {"train": 4, "test": 5}, "retrieval": world["retrieval"]}
    project.edit(
        **{
            "datasets.few": few,
            "run": project.run_of(backbones=["nano"], datasets=["world", "few"]),
            "evaluate.fit_on": {"datasets": ["few"], "files": {"far": mean}},
            "evaluate.corrections": ["centering"],
        }
    )
    target = "evaluate@nano-world"
    assert {"elsewhere@nano-world-few", target} < project.repro(target)
    tables = project / "data/metrics/nano/world/tables"
    found = pd.read_csv(tables / "corrections.csv", keep_default_na=False).set_index("name")
    assert found.loc["centering@few", "fitted_on"] == "few: 5 images, 25 texts"
    width = open_store(project / "data/features/nano/world/native.zarr.zip")["image/test"].width
    assert f"width 16, and the features here have {width}" in found.loc["centering@far", "reason"]
    corrected = numbers.read(tables / "metrics.csv")
    assert "retrieval/text-image+centering@few/group/recall@1" in corrected
    project.edit(**{"datasets.few.seed": 2})
    assert project.repro(target) == {
        "resolve", "prepare@few", "encode@nano-few", "elsewhere@nano-world-few", target
    }  # fmt: skip
    assert numbers.read(tables / "metrics.csv") != corrected
