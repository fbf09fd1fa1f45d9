from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from crossgap.training.augment import Augment, augmentation, slip_head, two_views

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
BLUR = "GaussianBlur"
NONE = Augment(crop=1, flip=0, jitter=0, hue=0, grey=0, blur=0)


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8))


def unscaled(view: torch.Tensor) -> np.ndarray:
    return view.numpy() * np.array(STD)[:, None, None] + np.array(MEAN)[:, None, None]


def test_views_are_of_their_key_alone_and_leave_the_generator_alone(image) -> None:
    view = augmentation(Augment(), 16, MEAN, STD)
    before = torch.random.get_rng_state()
    first, second = two_views(view, image, 2**64 - 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.shape == second.shape == (3, 16, 16) and first.dtype == torch.float32
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    assert torch.equal(torch.stack(two_views(view, image, 2**64 - 1)), torch.stack([first, second]))
    assert not torch.equal(two_views(view, image, 7)[0], first)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    torch.testing.assert_close(two_views(view, pixels, 7)[0], two_views(view, image, 7)[0])


def test_without_changes_a_view_is_the_image(image) -> None:
    # a crop keeps all of the area, but where its shape is drawn anew
    for view in two_views(augmentation(NONE.model_copy(update={"flip": 1.0}), (24, 24), MEAN, STD), image, 0):
        assert view.shape == (3, 24, 24)
    flat = Image.new("RGB", (24, 24), (255, 0, 51))
    for view in two_views(augmentation(NONE, 24, MEAN, STD), flat, 3):
        np.testing.assert_allclose(unscaled(view)[:, 0, 0], [1, 0, 0.2], atol=1e-6)


def test_grey_and_mirrored_views(image) -> None:
    for view in two_views(augmentation(Augment(grey=1), 16, MEAN, STD), image, 0):
        grey = unscaled(view)
        np.testing.assert_allclose(grey[0], grey[1], atol=1e-6)
        np.testing.assert_allclose(grey[0], grey[2], atol=1e-6)
    plain = two_views(augmentation(NONE, 24, MEAN, STD), image, 1)[0]
    mirrored = two_views(augmentation(NONE.model_copy(update={"flip": 1.0}), 24, MEAN, STD), image, 1)[0]
    torch.testing.assert_close(mirrored, plain.flip(-1))


def test_blur_reaches_over_a_tenth_of_the_side() -> None:
    """As of SimCLR, 23 pixels of 224; an odd number at least."""
    for side, wide in ((224, 23), (32, 3), (16, 1)):
        (blurs,) = [one for one in augmentation(Augment(), side, MEAN, STD).transforms if BLUR in str(one)]
        assert set(blurs.transforms[0].kernel_size) == {wide}


def test_the_head_is_slips() -> None:
    torch.manual_seed(0)
    head, x = slip_head(6, 10, 4), torch.randn(9, 6)
    found, expected = head(x), x
    for layer in (0, 3):  # a map without bias, a norm over the batch, a ramp
        expected = expected @ head[layer].weight.T
        expected = (expected - expected.mean(dim=0)) / (expected.var(dim=0, unbiased=False) + 1e-5).sqrt()
        expected = expected.clamp(min=0)
    expected = expected @ head[6].weight.T + head[6].bias
    assert found.shape == (9, 4)
    torch.testing.assert_close(found, expected)
    assert [tuple(p.shape) for p in head.parameters() if p.ndim == 2] == [(10, 6), (10, 10), (4, 10)]


@pytest.mark.parametrize(("field", "value"), [("crop", 0), ("flip", 1.1), ("hue", 0.6), ("rotate", 1)])
def test_settings_out_of_range(field, value) -> None:
    with pytest.raises(ValidationError, match=field):
        Augment(**{field: value})
