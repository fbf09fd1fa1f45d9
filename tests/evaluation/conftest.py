from __future__ import annotations

import pytest

from crossgap.evaluation import Cell
from tests.evaluation.small import groups, inverted, write


@pytest.fixture(scope="session")
def native(tmp_path_factory):
    """The native store of the small cell."""
    return write(tmp_path_factory.mktemp("native") / "native.zip", groups())


@pytest.fixture(scope="session")
def cell(native, tmp_path_factory):
    """The small cell with OTI of three seeds, a support split and a subset of its colours."""
    folder = tmp_path_factory.mktemp("oti")
    seeds = [inverted(folder / f"oti-{seed}.zip", seed) for seed in (2, 1)]
    subsets = {"warm": {"colour": ["red", "green"]}}
    oti = inverted(folder / "oti.zip")
    return Cell(native, oti, None, "test", "test", seeds=seeds, support="train", subsets=subsets)
