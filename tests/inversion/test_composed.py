"""Composed queries as texts that hold the tokens of their image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossgap import open_store
from crossgap.inversion.composed import ask
from crossgap.inversion.methods import Oti
from crossgap.inversion.recipes import Recipe
from crossgap.inversion.stores import invert_store
from crossgap.prepared.composed import Composed
from crossgap.stores import store

OTI = Oti(tokens=2)
ROWS = [
    ("q", "a", "t0", "is red", ""),
    ("q", "a", "t1", "red it is", ""),
    ("r", "b", "t0", "is red", ""),
    ("lost", "z", "t0", "is red", ""),
    ("mute", "a", "t2", "", ""),
    ("long", "b", "t3", "is red " * 80, ""),
    ("brace", "b", "t4", "is {}", ""),
    ("half", "b", "t0", "is red", ""),
    ("half", "b", "t4", "is {}", ""),
]
TABLES = Composed.of(ROWS, [(query, "a", "target") for query, *_ in ROWS])


def slow(backbone, tokens: np.ndarray, words: str) -> np.ndarray:
    """The template with fillers, their embeddings replaced, through the whole tower."""
    ids, _ = backbone.tokenize([f"a photo of {filler} {filler} that {words}" for filler in "xz"])
    slots = (ids[0] != ids[1]).nonzero().flatten()
    text = getattr(backbone.model, "text", backbone.model)

    def put(_module, _inputs, embedded):
        embedded = embedded.clone()
        embedded[0, slots] = torch.from_numpy(tokens)
        return embedded

    handle = text.token_embedding.register_forward_hook(put)
    with torch.no_grad():
        row = backbone.model.encode_text(ids[:1])[0].numpy()
    handle.remove()
    return row / np.linalg.norm(row)


@pytest.fixture(scope="module")
def tokens(tiny) -> dict[str, np.ndarray]:
    width = getattr(tiny.model, "text", tiny.model).token_embedding.weight.shape[1]
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.5, (2, width)).astype(np.float32) for name in "ab"}


def test_texts_hold_the_tokens_and_what_they_ask(tiny, tokens):
    found = ask(TABLES.asked, tokens, tiny, OTI)
    assert list(found.queries) == ["q", "r"]
    both = (slow(tiny, tokens["a"], "is red") + slow(tiny, tokens["a"], "red it is")) / 2
    np.testing.assert_allclose(found.features[0], both, atol=1e-5)
    np.testing.assert_allclose(found.features[1], slow(tiny, tokens["b"], "is red"), atol=1e-5)
    assert found.left_out == {
        "its image was not inverted": 1,
        "the words that it asks are not known": 1,
        "no place for it in 'a photo of {}' that …": 3,
    }
    none = ask(TABLES.asked, {}, tiny, OTI)
    assert none.features.shape == (0, tiny.dim) and sum(none.left_out.values()) == 7


def test_an_inversion_store_has_them(tiny, tmp_path):
    features = tiny.encode_images(torch.randn(2, 3, 32, 32)).features.numpy()
    provenance = {"backbone_provenance": tiny.provenance, "fingerprint": "native"}
    with store.creating(tmp_path / "n.zip", tmp_path, provenance) as writer:
        writer.add("image/test", {"id": np.array(["a", "b"], object)}, [{"features": features}])
        writer.add_composed(TABLES)
    native = open_store(tmp_path / "n.zip")
    chosen = {"image/test": np.array([0, 1])}
    given = (native, chosen, tiny, OTI, Recipe(steps=2), tmp_path / "oti.zip")
    invert_store(*given, scratch=tmp_path / "s")
    found = open_store(tmp_path / "oti.zip")
    held = dict(zip(found["image/test"].ids, found["image/test"].tokens, strict=True))
    again = ask(TABLES.asked, held, tiny, OTI)
    assert found.composed_features.ids.tolist() == ["q", "r"] and found.groups == ["image/test"]
    np.testing.assert_array_equal(found.composed_features["features"], again.features)
    assert sum(found.provenance["composed_left_out"].values()) == 5
    invert_store(*given, scratch=tmp_path / "s", composed=False)
    assert open_store(tmp_path / "oti.zip").composed_features is None
