from __future__ import annotations

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def images(tiny) -> np.ndarray:
    """`(48, 24)` features of images of the backbone `tiny`."""
    pixels = torch.randn(48, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    return tiny.encode_images(pixels).features.numpy()
