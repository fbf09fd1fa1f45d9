from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from crossgap import manifest
from crossgap.datasets import world


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    """The manifest of 20 captioned images of the embedded world, and their root."""
    folder = tmp_path_factory.mktemp("scenes")
    return manifest.validate(world.write(folder, 0, {"train": 20, "test": 2})), folder
