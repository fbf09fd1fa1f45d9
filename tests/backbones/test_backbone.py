from __future__ import annotations

import dataclasses

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from crossgap import load_backbone

TEXTS = ["a red square", "two dogs", "", "a photo of a cat, seen from above"]


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)) for _ in range(3)]


@pytest.fixture(scope="module")
def plain(tiny_folder):
    """open_clip's own model, transform and tokenizer of the same folder."""
    name = f"local-dir:{tiny_folder}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    return model.eval(), transform, open_clip.get_tokenizer(name)


def test_features_are_those_of_open_clip_itself(tiny, plain, images) -> None:
    model, transform, tokenizer = plain
    pixels = torch.stack([tiny.transform(image) for image in images])
    assert torch.equal(pixels, torch.stack([transform(image) for image in images]))
    ids, cut = tiny.tokenize(TEXTS)
    assert torch.equal(ids, tokenizer(TEXTS)) and not cut.any()
    with torch.no_grad():
        pairs = [
            (tiny.encode_images(pixels), model.encode_image(pixels), model.visual.proj),
            (tiny.encode_texts(ids), model.encode_text(ids), model.text_projection),
        ]
    for found, features, projection in pairs:
        torch.testing.assert_close(found.features, features)
        torch.testing.assert_close(found.preprojection @ projection.detach(), features)
        assert found.features.dtype == found.preprojection.dtype == torch.float32
    assert tiny.dim == 24 and tiny.context_length == 24
    # the projections are back in their place
    with torch.no_grad():
        torch.testing.assert_close(tiny.model.encode_image(pixels), pairs[0][1])
        torch.testing.assert_close(tiny.model.encode_text(ids), pairs[1][1])


def test_the_model_is_frozen_and_in_evaluation_mode(tiny) -> None:
    assert not tiny.model.training
    assert not any(parameter.requires_grad for parameter in tiny.model.parameters())


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.01), ("fp16", 0.001)])
def test_half_precision_stays_within_a_bound_and_is_handed_out_as_float32(
    tiny, tiny_folder, images, precision, bound
) -> None:
    half = load_backbone(f"local-dir:{tiny_folder}", precision=precision)
    pixels = torch.stack([tiny.transform(image) for image in images])
    ids, _ = tiny.tokenize(TEXTS)
    assert half.provenance["precision"] == precision
    for found, exact in [
        (half.encode_images(pixels), tiny.encode_images(pixels)),
        (half.encode_texts(ids), tiny.encode_texts(ids)),
    ]:
        assert found.features.dtype == torch.float32
        cosines = torch.cosine_similarity(found.features, exact.features)
        assert (1 - cosines < bound).all() and not torch.equal(found.features, exact.features)


def test_texts_that_the_context_cuts_are_told(tiny) -> None:
    # 24 positions hold 22 words between the start and the end token
    texts = [" ".join(["dog"] * words) for words in (1, 21, 22, 23, 40)]
    ids, cut = tiny.tokenize(texts)
    assert cut.tolist() == [False, False, False, True, True]
    assert (ids[2:, -1] == 49407).all()


class PaddedWithEnd:
    """Pads with its end token, as SigLIP's does; a word is its length."""

    def __init__(self, ends: bool) -> None:
        self.ends = ends

    def __call__(self, texts: list[str], context_length: int) -> torch.Tensor:
        rows = []
        for text in texts:
            words = [2 + len(word) for word in text.split()][: context_length - self.ends]
            rows.append(words + [1] * (context_length - len(words)))
        return torch.tensor(rows)


@pytest.mark.parametrize(("ends", "held"), [(True, 23), (False, 24)])
def test_cut_texts_are_told_where_padding_is_the_end_token(tiny, ends, held) -> None:
    backbone = dataclasses.replace(tiny, load_tokenizer=lambda: PaddedWithEnd(ends))
    _, cut = backbone.tokenize([" ".join(["dog"] * words) for words in (0, 1, held, held + 1, held + 2, 60)])
    assert cut.tolist() == [False, False, False, True, True, True]


def test_the_tokenizer_is_loaded_when_first_asked_for(tiny) -> None:
    calls = []

    def load():
        calls.append(1)
        return tiny.tokenizer

    backbone = dataclasses.replace(tiny, load_tokenizer=load)
    backbone.encode_images(torch.zeros(1, 3, 32, 32))
    assert not calls
    backbone.tokenize(["a"]), backbone.tokenize(["b"])
    assert calls == [1]
