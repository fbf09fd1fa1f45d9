from __future__ import annotations

from pathlib import Path

import pytest

REAL = Path(__file__).parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real features, photos and captions beside the project, which may not be redistributed."""
    if not REAL.is_dir():
        pytest.skip("real data is absent: ../shared/real, seen from the project's root")
    return REAL
