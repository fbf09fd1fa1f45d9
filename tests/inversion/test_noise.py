from __future__ import annotations

import numpy as np

from crossgap.inversion.noise import STD, initial_tokens

IDS = [f"image {number}" for number in range(400)]


def test_noise_is_a_function_of_id_and_seed_alone() -> None:
    noise = initial_tokens(IDS, 0, (2, 16))
    assert noise.dtype == np.float32 and noise.shape == (400, 2, 16)
    np.testing.assert_array_equal(initial_tokens(IDS[::-1], 0, (2, 16)), noise[::-1])
    np.testing.assert_array_equal(initial_tokens(IDS[7:9], 0, (2, 16)), noise[7:9])
    np.random.seed(5)
    np.testing.assert_array_equal(initial_tokens(IDS, 0, (2, 16)), noise)
    assert not (initial_tokens(IDS, 1, (2, 16)) == noise).any(axis=(1, 2)).all()
    assert len({row.tobytes() for row in noise}) == 400
    # a seed and an id don't run into each other
    assert not np.array_equal(initial_tokens(["1a"], 1, (1, 4)), initial_tokens(["a"], 11, (1, 4)))


def test_noise_has_the_papers_mean_and_spread() -> None:
    noise = initial_tokens(IDS, 3, (4, 64))
    count = noise.size
    assert STD == 0.02
    assert abs(noise.mean()) < 5 * STD / count**0.5
    assert abs(noise.std() / STD - 1) < 5 / (2 * count) ** 0.5
    assert abs(np.mean(np.abs(noise) < STD) - 0.6827) < 0.01
    rows = noise.reshape(400, -1)
    correlations = np.corrcoef(rows)[np.triu_indices(400, 1)]
    assert np.abs(correlations).max() < 6 / rows.shape[1] ** 0.5


def test_noise_is_the_same_on_every_machine() -> None:
    expected = np.array([[-0.01478652, -0.00186941, -0.03954452]], np.float32)
    np.testing.assert_allclose(initial_tokens(["ü/1.png"], 7, (1, 3))[0], expected, rtol=1e-6)
