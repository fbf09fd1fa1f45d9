from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from crossgap import fingerprint, load_backbone, open_store, oti, ovi, store
from crossgap.backbones import BackboneError
from crossgap.backbones.injection import PseudoPatches, PseudoText
from crossgap.inversion import Recipe, chosen_images, chosen_texts, invert_store

CLOSE = {"rtol": 2e-3, "atol": 2e-3}
RECIPE = Recipe(steps=6, seed=3)
OTI = {"name": "oti", "template": "a photo of {}", "tokens": 1}
OVI = {"name": "ovi", "patches": 2}


def columns(ids: Sequence[str], **more) -> dict[str, np.ndarray]:
    return {"id": np.array(ids, dtype=object), **{name: np.array(values) for name, values in more.items()}}


@pytest.fixture(scope="module")
def features(tiny) -> dict[str, np.ndarray]:
    pixels = torch.randn(9, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ids, _ = tiny.tokenize([f"text {word}" for word in "abcdefghi"])
    return {
        "image": tiny.encode_images(pixels).features.numpy(),
        "text": tiny.encode_texts(ids).features.numpy(),
    }


@pytest.fixture
def native(tiny, features, tmp_path) -> store.Store:
    path = tmp_path / "native.zarr.zip"
    write(path, tiny, features)
    return open_store(path)


def write(path, backbone, features) -> None:
    image, text = features["image"], features["text"]
    provenance = {
        "backbone_provenance": backbone.provenance,
        "fingerprint": fingerprint.of_rows(np.concatenate([image, text]).reshape(1, -1))[0],
    }
    with store.creating(path, path.parent / "scratch", provenance) as writer:
        writer.add("image/test", columns(["a", "b", "c", "d"]), [{"features": image[:4]}])
        writer.add("image/train", columns(["e", "f"]), [{"features": image[4:6]}])
        captions = columns(["a#0", "a#1", "b#0", "b#1"], group=["a", "a", "b", "b"], rank=[0, 1, 0, 1])
        writer.add("text/test", captions, [{"features": text[:4]}])
        writer.add("text/train", columns(["e#0"], group=["e"], rank=[0]), [{"features": text[4:5]}])
        writer.add("text/classes", columns(["x", "y"], rank=[0, 0]), [{"features": text[5:7]}])


@pytest.fixture
def run(tiny, tmp_path):
    def run(native, backbone=tiny, chosen=None, recipe=RECIPE, method=OTI, scratch="scratch", **more):
        if method["name"] == "oti":
            injection = PseudoText(backbone, method["template"], method["tokens"])
            chosen = chosen or chosen_images(native, "test", "train")
        else:
            injection = PseudoPatches(backbone, method["patches"])
            chosen = chosen or chosen_texts(native, "test", "train")
        path, scratch = tmp_path / f"{method['name']}.zarr.zip", tmp_path / scratch
        invert_store(
            native, chosen, backbone, injection, recipe, path, method=method, scratch=scratch, **more
        )
        return open_store(path)

    return run


def check(found, native, reference) -> None:
    for name in found.groups:
        group, source = found[name], native[name]
        rows = [source.ids.tolist().index(item) for item in group.ids]
        wanted = reference(source.features[rows], group.ids)
        np.testing.assert_allclose(group.tokens, wanted.tokens, **CLOSE)
        np.testing.assert_allclose(group.features, wanted.features, **CLOSE)
        np.testing.assert_allclose(group.losses, wanted.losses, **CLOSE)


@pytest.mark.parametrize(("batch_size", "shard_size"), [(256, 1024), (1, 1), (2, 3)])
def test_a_store_is_inverted_as_its_arrays_are(run, native, tiny, batch_size, shard_size) -> None:
    found = run(native, batch_size=batch_size, shard_size=shard_size)
    assert found.groups == ["image/test", "image/train"]
    assert found["image/test"].ids.tolist() == ["a", "b", "c", "d"]
    assert found["image/test"].tokens.shape == (4, 1, 32)
    check(found, native, lambda x, ids: oti(x, tiny, 6, 1, ids=ids, seed=3, progress=False))

    found = run(native, method=OVI, batch_size=batch_size, shard_size=shard_size)
    assert found.groups == ["text/classes", "text/test", "text/train"]
    assert found["text/test"].tokens.shape == (4, 2, 48)
    check(found, native, lambda x, ids: ovi(x, tiny, 6, 2, ids=ids, seed=3, progress=False))


def test_provenance_says_what_made_it_of_what(run, native, tiny) -> None:
    provenance = run(native).provenance
    assert provenance["method"] == OTI
    assert provenance["recipe"] == {"steps": 6, "lr": 0.02, "weight_decay": 0.01, "seed": 3}
    assert provenance["backbone"] == tiny.provenance
    assert provenance["inverts"] == native.provenance["fingerprint"]
    one = provenance["fingerprint"]
    assert run(native, batch_size=1, shard_size=1).provenance["fingerprint"] == one
    others = [
        run(native, recipe=Recipe(steps=7, seed=3)),
        run(native, recipe=Recipe(steps=6, seed=4)),
        run(native, method={**OTI, "template": "{}"}),
        run(native, chosen={"image/test": np.arange(3)}),
    ]
    assert len({one, *(other.provenance["fingerprint"] for other in others)}) == 5
    assert json.loads(json.dumps(provenance)) == provenance


class Counting:
    """An injection that counts the items it was started with, and dies before item number `dies_at`."""

    def __init__(self, injection, dies_at: int | None = None) -> None:
        self.injection, self.shape, self.dies_at, self.started = injection, injection.shape, dies_at, 0
        self.last = None

    def __call__(self, tokens):
        if tokens is not self.last and torch.is_grad_enabled():
            self.started, self.last = self.started + len(tokens), tokens
            if self.dies_at is not None and self.started > self.dies_at:
                raise RuntimeError("the machine went away")
        return self.injection(tokens)


def test_an_interrupted_inversion_goes_on_where_it_stopped(native, tiny, tmp_path, run) -> None:
    path, chosen = tmp_path / "oti.zarr.zip", chosen_images(native, "test", "train")
    plain = PseudoText(tiny, OTI["template"], 1)
    options = {"method": OTI, "scratch": tmp_path / "scratch", "batch_size": 1, "shard_size": 2}
    dying = Counting(plain, dies_at=3)
    with pytest.raises(RuntimeError, match="went away"):
        invert_store(native, chosen, tiny, dying, RECIPE, path, **options)
    assert not path.exists()
    counting = Counting(plain)
    invert_store(native, chosen, tiny, counting, RECIPE, path, **options)
    assert counting.started == 4  # of six, a shard of two was whole
    again = Counting(plain)
    invert_store(native, chosen, tiny, again, RECIPE, path, **options)
    assert again.started == 0
    resumed = path.read_bytes()
    run(native, scratch="elsewhere", batch_size=1, shard_size=2)
    assert path.read_bytes() == resumed


def test_other_recipes_and_features_never_share_results(native, features, tiny, tmp_path, run) -> None:
    base = run(native)["image/test"].tokens
    for other in (
        run(native, recipe=Recipe(steps=6, seed=4)),
        run(native, recipe=Recipe(steps=5, seed=3)),
        run(native, method={**OTI, "template": "the {}"}),
    ):
        assert (np.abs(other["image/test"].tokens - base).max(axis=(1, 2)) > 1e-3).all()
    changed = {**features, "image": features["image"].copy()}
    changed["image"][1] *= np.linspace(-1, 1, 24)
    write(tmp_path / "changed.zarr.zip", tiny, changed)
    found = run(open_store(tmp_path / "changed.zarr.zip"))["image/test"].tokens
    differs = np.abs(found - base).max(axis=(1, 2)) > 1e-6
    assert differs.tolist() == [False, True, False, False]


def test_a_store_of_other_weights_is_refused(native, tiny_folder, tmp_path, run) -> None:
    weights = load_file(tiny_folder / "open_clip_model.safetensors")
    weights["logit_scale"] = weights["logit_scale"] + 1
    (tmp_path / "open_clip_config.json").write_bytes((tiny_folder / "open_clip_config.json").read_bytes())
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    other = load_backbone(f"local-dir:{tmp_path}")
    with pytest.raises(BackboneError, match=r"native\.zarr\.zip was encoded with weights .*encode stage"):
        run(native, backbone=other)


def test_an_imported_store_without_a_backbone_is_refused(native, tmp_path, run) -> None:
    with store.creating(tmp_path / "imported.zip", tmp_path / "s", {"fingerprint": "f"}) as writer:
        writer.add("image/test", columns(["a"]), [{"features": np.ones((1, 24), np.float32)}])
    imported = open_store(tmp_path / "imported.zip")
    with pytest.raises(BackboneError, match=r"imported\.zip was encoded with weights None"):
        run(imported, chosen=chosen_images(imported, "test"))


def test_features_that_are_not_finite_are_refused_by_name(features, tiny, tmp_path, run) -> None:
    broken = {**features, "image": features["image"].copy()}
    broken["image"][2, 5] = np.nan
    write(tmp_path / "broken.zarr.zip", tiny, broken)
    with pytest.raises(ValueError, match="1 features are not finite, of items c"):
        run(open_store(tmp_path / "broken.zarr.zip"))


def test_what_is_inverted_follows_the_protocol(native) -> None:
    def ids(chosen):
        return {name: native[name].ids[rows].tolist() for name, rows in chosen.items()}

    assert ids(chosen_images(native, "test")) == {"image/test": ["a", "b", "c", "d"]}
    assert ids(chosen_images(native, "test", "test")) == {"image/test": ["a", "b", "c", "d"]}
    assert ids(chosen_images(native, "test", "train")) == {
        "image/test": ["a", "b", "c", "d"],
        "image/train": ["e", "f"],
    }
    assert ids(chosen_texts(native, "test")) == {"text/test": ["a#0", "b#0"], "text/classes": ["x", "y"]}
    assert ids(chosen_texts(native, "test", "test")) == {
        "text/test": ["a#0", "a#1", "b#0", "b#1"],
        "text/classes": ["x", "y"],
    }
