"""IsoCLIP against the whole decomposition, a real model's projections, and spectra with knees in known places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import normalize

from crossgap.corrections import Material, fitted, isoclip
from crossgap.corrections.isoclip import PUBLISHED, knees

D, WIDTHS = 8, {"image": 14, "text": 10}


def weight(seed: int, d: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((d, width))


W = {modality: weight(i, D, width) for i, (modality, width) in enumerate(WIDTHS.items())}


def features(modality: str, seed: int = 5, n: int = 11) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, WIDTHS[modality])) + 0.5


def bases() -> dict[str, np.ndarray]:
    """Left and right singular vectors of the inter-modal operator, decomposed whole."""
    left, _, right = np.linalg.svd(W["image"].T @ W["text"])
    return {"image": left, "text": right.T}


@pytest.mark.parametrize(("top", "bottom"), [(0, 0), (1, 0), (0, 3), (2, 3), (4, 3)])
@pytest.mark.parametrize("modality", ["image", "text"])
def test_agrees_with_the_whole_decomposition(top, bottom, modality):
    correction = isoclip.fit(W["image"], W["text"], (top, bottom), (top, bottom))
    kept = bases()[modality][:, top : D - bottom]
    rows = features(modality)
    expected = normalize(np.array([W[modality] @ kept @ kept.T @ row for row in rows]))
    np.testing.assert_allclose(normalize(correction.apply(rows, modality)), expected, atol=1e-10)
    assert correction.parameters[modality] == {"top": top, "bottom": bottom, "chosen": "given"}
    assert correction.parameters["directions"] == D
    assert correction.space == "preprojection" and correction.sides == "both"


@pytest.mark.parametrize("modality", ["image", "text"])
def test_removed_directions_are_gone_and_kept_ones_whole(modality):
    correction = isoclip.fit(W["image"], W["text"], (2, 3), (2, 3))
    directions = bases()[modality].T[:D]
    found = correction.apply(directions, modality)
    np.testing.assert_allclose(found[[0, 1, 5, 6, 7]], 0, atol=1e-12)
    np.testing.assert_allclose(found[2:5], directions[2:5] @ W[modality].T, atol=1e-12)
    # so that what lies along removed directions no longer tells features apart
    rows = features(modality)
    shifted = rows + np.random.default_rng(0).standard_normal((11, 5)) @ directions[[0, 1, 5, 6, 7]]
    np.testing.assert_allclose(
        normalize(correction.apply(rows, modality)),
        normalize(correction.apply(shifted, modality)),
        atol=1e-10,
    )


def test_keeping_everything_is_the_plain_projection_of_a_model(tiny):
    pixels = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    encoded = {
        "image": tiny.encode_images(pixels),
        "text": tiny.encode_texts(tiny.tokenize(["a cat", "two dogs", "rain"])[0]),
    }
    weights = [x.detach().numpy().T for x in (tiny.model.visual.proj, tiny.model.text_projection)]
    correction = isoclip.fit(*weights, (0, 0), (0, 0))
    for modality, batch in encoded.items():
        found = correction.apply(batch.preprojection, modality)
        np.testing.assert_allclose(normalize(found), normalize(batch.features.numpy()), atol=1e-5)


def test_a_bias_is_one_more_column():
    bias = {modality: weight(9, D, 1) for modality in W}
    biased = isoclip.fit(*(np.hstack([W[m], bias[m]]) for m in W), (0, 0), (0, 0))
    for modality in W:
        rows = features(modality)
        expected = normalize(rows @ W[modality].T + bias[modality].T)
        np.testing.assert_allclose(normalize(biased.apply(rows, modality)), expected, atol=1e-10)
        tensor = torch.from_numpy(rows).bfloat16().requires_grad_()
        of_array, of_tensor = (biased.apply(x, modality) for x in (tensor.detach().float().numpy(), tensor))
        np.testing.assert_array_equal(of_array, of_tensor)
    cell = Material(weights=W, biases={m: b[:, 0] for m, b in bias.items()})
    for modality, affine in fitted(cell, ["isoclip"])[0]["isoclip"].maps.items():
        assert affine.matrix.shape == (WIDTHS[modality] + 1, D)


def spectrum(*pieces: tuple[int, float]) -> np.ndarray:
    """Singular values whose logarithm falls by so much a step, over so many steps, piece after piece."""
    return np.exp(
        5 - np.cumsum([0.0, *np.repeat([fall for _, fall in pieces], [count for count, _ in pieces])])
    )


@given(
    head=st.integers(1, 8),
    tail=st.integers(1, 8),
    fall=st.floats(0.3, 1.5),
    slope=st.floats(0, 0.1),
    scale=st.floats(1e-6, 1e6),
)
@settings(deadline=None)
def test_knees_are_where_the_spectrum_bends(head, tail, fall, slope, scale):
    values = scale * spectrum((head, fall), (20, slope), (tail, fall))
    assert knees(values) == (head, tail)


def test_a_spectrum_without_knees_loses_nothing():
    assert knees(np.ones(9)) == (0, 0)
    assert knees(spectrum((30, 0.2))) == (0, 0)
    assert knees(np.ones(1)) == (0, 0)


def test_directions_of_rounding_go_with_the_bottom():
    assert knees(np.concatenate([spectrum((3, 1.0), (20, 0.01), (3, 1.0)), np.full(4, 1e-18)])) == (3, 7)
    flat = isoclip.fit(W["image"], np.vstack([W["text"][:-1], np.zeros(10)]))
    assert flat.parameters["image"]["bottom"] >= 1


@given(scale=st.floats(1e-3, 1e3), other=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_the_scale_of_the_weights_changes_no_choice_and_no_cosine(scale, other):
    once, again = isoclip.fit(W["image"], W["text"]), isoclip.fit(W["image"] * scale, W["text"] * other)
    assert once.parameters == again.parameters
    assert once.parameters["image"]["chosen"] == "knees"
    for modality in W:
        found = [normalize(x.apply(features(modality), modality)) for x in (once, again)]
        np.testing.assert_allclose(*found, atol=1e-10)


@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-B-32-quickgelu"])
def test_published_cut_offs_are_found_by_open_clips_names(model):
    weights = {"image": weight(0, 512, 768), "text": weight(1, 512, 512)}
    found, _ = fitted(Material(weights=weights, model=model, pretrained="openai"), ["isoclip"])
    assert found["isoclip"].parameters == {
        "directions": 512,
        "image": {"top": 150, "bottom": 50, "chosen": "given"},
        "text": {"top": 20, "bottom": 100, "chosen": "given"},
    }


def test_where_none_is_published_the_spectrum_chooses():
    weights = {"image": weight(0, 512, 768), "text": weight(1, 512, 512)}
    pe = Material(weights=weights, model="PE-Core-B-16", pretrained="meta")
    chosen = fitted(pe, ["isoclip"])[0]["isoclip"].parameters
    assert chosen["image"] == {"top": 300, "bottom": 50, "chosen": "given"}
    assert chosen["text"]["chosen"] == "knees"
    mine = fitted(Material(weights=weights, model="ViT-B-32", pretrained="/mine.pt"), ["isoclip"])[0][
        "isoclip"
    ]
    assert mine.parameters["image"] == mine.parameters["text"]
    assert mine.parameters["image"]["chosen"] == "knees"


def test_published_names_are_open_clips():
    import open_clip

    for model, pretrained in PUBLISHED:
        assert pretrained in open_clip.list_pretrained_tags_by_model(model)
        assert not model.endswith("-quickgelu")


def test_what_is_refused():
    with pytest.raises(
        ValueError, match="images lose 5 top and 3 bottom of 8 directions: leave at least one"
    ):
        isoclip.fit(W["image"], W["text"], (5, 3))
    with pytest.raises(ValueError, match="texts lose -1 top"):
        isoclip.fit(W["image"], W["text"], (1, 1), (-1, 0))
    with pytest.raises(ValueError, match="image_weight has 8 outputs and text_weight 7"):
        isoclip.fit(W["image"], W["text"][:7])
    with pytest.raises(ValueError, match="text_weight has shape \\(10,\\): give the projection's weight"):
        isoclip.fit(W["image"], W["text"][0])
    with pytest.raises(ValueError, match="image_weight holds NaN"):
        isoclip.fit(W["image"] * np.nan, W["text"])
    with pytest.raises(TypeError, match="text_weight holds complex128, not real numbers"):
        isoclip.fit(W["image"], W["text"] * 1j)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_weights_may_be_a_models_parameters(kind):
    given = {side: torch.nn.Parameter(torch.from_numpy(weight).to(kind)) for side, weight in W.items()}
    plain = [weight.detach().double().numpy() for weight in given.values()]
    found, expected = isoclip.fit(*given.values()), isoclip.fit(*plain)
    for side in W:
        np.testing.assert_array_equal(found.maps[side].matrix, expected.maps[side].matrix)
