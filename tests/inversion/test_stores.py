from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from crossgap import fingerprint, load_backbone, load_distilled, open_store, oti, ovi
from crossgap.backbones import BackboneError
from crossgap.inversion.distil_recipe import Distil
from crossgap.inversion.distil_stores import distil_store
from crossgap.inversion.invert import Inverter
from crossgap.inversion.methods import Oti, Ovi
from crossgap.inversion.noise import initial_tokens
from crossgap.inversion.recipes import Recipe
from crossgap.inversion.stores import InversionError, chosen_images, chosen_texts, invert_store
from crossgap.stores import store, writing

CLOSE = {"rtol": 2e-3, "atol": 2e-3}
RECIPE = Recipe(steps=6, seed=3)
OTI, OVI = Oti(), Ovi(2)


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
        choose = chosen_images if method.name == "oti" else chosen_texts
        path, scratch = tmp_path / f"{method.name}.zarr.zip", tmp_path / scratch
        chosen = chosen or choose(native, "test", "train")
        invert_store(native, chosen, backbone, method, recipe, path, scratch=scratch, **more)
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


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_a_store_is_inverted_as_its_arrays_are(run, native, tiny, batch_size) -> None:
    found = run(native, batch_size=batch_size)
    assert found.groups == ["image/test", "image/train"]
    assert found["image/test"].ids.tolist() == ["a", "b", "c", "d"]
    assert found["image/test"].tokens.shape == (4, 1, 32)
    check(found, native, lambda x, ids: oti(x, tiny, 6, 1, ids=ids, seed=3, progress=False))

    found = run(native, method=OVI, batch_size=batch_size)
    assert found.groups == ["text/classes", "text/test", "text/train"]
    assert found["text/test"].tokens.shape == (4, 2, 48)
    check(found, native, lambda x, ids: ovi(x, tiny, 6, 2, ids=ids, seed=3, progress=False))


def test_provenance_says_what_made_it_of_what(run, native, tiny) -> None:
    provenance = run(native).provenance
    assert provenance["method"] == {"name": "oti", "template": "a photo of {}", "tokens": 1}
    assert provenance["recipe"] == RECIPE.as_dict()
    assert provenance["backbone"] == tiny.provenance
    assert provenance["inverts"] == native.provenance["fingerprint"]
    one = provenance["fingerprint"]
    assert run(native, batch_size=1).provenance["fingerprint"] == one
    others = [
        run(native, recipe=Recipe(steps=7, seed=3)),
        run(native, recipe=Recipe(steps=6, seed=4)),
        run(native, method=Oti("{}")),
        run(native, chosen={"image/test": np.arange(3)}),
    ]
    assert len({one, *(other.provenance["fingerprint"] for other in others)}) == 5
    assert json.loads(json.dumps(provenance)) == provenance


class Dying(Oti):
    """Counts the items it was started with, and dies with the one after `lives` items."""

    def __init__(self, lives: int | None = None) -> None:
        super().__init__()
        object.__setattr__(self, "started", [])
        object.__setattr__(self, "lives", lives)

    def inject(self, backbone):
        injection, last = super().inject(backbone), []

        def encode(tokens):
            if torch.is_grad_enabled() and not any(tokens is other for other in last):
                if self.lives is not None and sum(self.started) + len(tokens) > self.lives:
                    raise RuntimeError("the machine went away")
                self.started.append(len(tokens))
                last.append(tokens)
            return injection(tokens)

        encode.shape = injection.shape
        return encode

    def as_dict(self):
        return OTI.as_dict()


def test_an_interrupted_inversion_goes_on_where_it_stopped(native, tiny, tmp_path, run) -> None:
    path, chosen = tmp_path / "oti.zarr.zip", chosen_images(native, "test", "train")

    def invert(method, **more):
        options = {"scratch": tmp_path / "scratch", "batch_size": 2, **more}
        invert_store(native, chosen, tiny, method, RECIPE, path, **options)
        return method

    with pytest.raises(RuntimeError, match="went away"):
        invert(Dying(lives=3))
    assert not path.exists()
    assert invert(Dying()).started == [2, 2]  # of six, a shard of two was whole
    assert invert(Dying()).started == []
    resumed = path.read_bytes()
    run(native, scratch="elsewhere", batch_size=2)
    assert path.read_bytes() == resumed
    assert invert(Dying(), code="other").started == [2, 2, 2]
    assert invert(Dying(), code="other").started == []


def test_snapshots_are_stored_by_step(run, native, tiny) -> None:
    recipe = Recipe(6, seed=3, snapshots=(0, 2, 6, 50), snapshot_tokens=True)
    group = run(native, recipe=recipe, batch_size=3)["image/test"]
    wanted = oti(
        native["image/test"].features,
        tiny,
        6,
        ids=group.ids,
        seed=3,
        snapshots=[0, 2, 6],
        snapshot_tokens=True,
        progress=False,
    )
    assert group.steps.tolist() == [0, 2, 6]
    np.testing.assert_allclose(group.snapshots, wanted.snapshots, **CLOSE)
    np.testing.assert_allclose(group.snapshot_losses, wanted.snapshot_losses, **CLOSE)
    np.testing.assert_allclose(group["snapshot_tokens"], wanted.snapshot_tokens, **CLOSE)
    assert np.array_equal(group.snapshots[:, 2], group.features)
    # no more is stored than was asked for
    assert "snapshot_tokens" not in run(native, recipe=Recipe(6, snapshots=(2,)))["image/test"]
    assert not {"snapshots", "step", "steps"} & set(run(native)["image/test"].zarr_group.array_keys())


def test_steps_of_an_early_stop_are_stored(run, native) -> None:
    group = run(native, recipe=Recipe(80, patience=2, tolerance=0.02))["image/test"]
    assert group["steps"].max() < 80 and len(group["steps"]) == 4


class Breaking(Oti):
    """Items `b` and `f` have no finite loss: they start from noise that is none."""

    def inject(self, backbone):
        injection = super().inject(backbone)
        bad = torch.from_numpy(initial_tokens(["b", "f"], RECIPE.seed, injection.shape))

        def encode(tokens):
            started = (tokens.detach()[:, None] - bad).abs().amax(dim=(2, 3)).min(dim=1).values < 1e-6
            return injection(tokens) + torch.where(started, torch.nan, 0.0)[:, None]

        encode.shape = injection.shape
        return encode

    def as_dict(self):
        return OTI.as_dict()


def test_items_without_a_finite_loss_are_named_and_the_others_kept(run, native, tmp_path) -> None:
    with pytest.raises(
        InversionError, match=r"2 of 6 items .* not finite: b, f; the others are kept.*oti\.lr"
    ):
        run(native, method=Breaking(), batch_size=2)
    assert not (tmp_path / "oti.zarr.zip").exists()
    # nothing is computed again, neither to say so again nor to leave them out
    dying = Dying(lives=0)
    with pytest.raises(InversionError, match="b, f"):
        run(native, method=dying, batch_size=2)
    found = run(native, method=dying, batch_size=2, on_problem="set_aside")
    assert found.provenance["set_aside"] == {"image/test": ["b"], "image/train": ["f"]}
    assert found["image/test"].ids.tolist() == ["a", "c", "d"]
    whole = run(native, scratch="elsewhere", batch_size=2)
    np.testing.assert_allclose(found["image/test"].features, whole["image/test"].features[[0, 2, 3]], **CLOSE)
    assert "set_aside" not in whole.provenance


def test_memory_is_bounded_by_the_batch(tiny, tmp_path, monkeypatch) -> None:
    """Features are read as shards need them: never more rows at once than a block or a batch has."""
    monkeypatch.setattr(writing, "ROWS_A_SHARD", 8)
    items = 40
    features = np.random.default_rng(0).standard_normal((items, 24)).astype(np.float32)
    path = tmp_path / "native.zarr.zip"
    with store.creating(path, tmp_path / "s", _provenance(tiny)) as writer:
        writer.add("image/test", columns([f"i{row}" for row in range(items)]), [{"features": features}])
    native, most = open_store(path), []
    rows = store.Group.rows

    def watched(group, array, positions):
        most.append(len(positions))
        return rows(group, array, positions)

    monkeypatch.setattr(store.Group, "rows", watched)
    monkeypatch.setattr(store.Group, "features", property(lambda group: pytest.fail("read whole")))
    chosen = {"image/test": np.arange(items)}
    out = tmp_path / "oti.zarr.zip"
    invert_store(native, chosen, tiny, OTI, Recipe(1), out, scratch=tmp_path / "scratch", batch_size=5)
    monkeypatch.undo()
    assert max(most) == 8 and most.count(5) == 8
    assert len(open_store(out)["image/test"].features) == items


def _provenance(backbone) -> dict:
    return {"backbone_provenance": backbone.provenance, "fingerprint": "some"}


def test_other_recipes_and_features_never_share_results(native, features, tiny, tmp_path, run) -> None:
    base = run(native)["image/test"].tokens
    for other in (
        run(native, recipe=Recipe(steps=6, seed=4)),
        run(native, recipe=Recipe(steps=5, seed=3)),
        run(native, method=Oti("the {}")),
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


NANO = Path(__file__).parents[2] / "data/backbones/nano"


@pytest.fixture(scope="module", params=["tiny", "nano"])
def grown(request, tiny, tmp_path_factory):
    """A backbone, and stores of 140 items and of what became of them: the first 2 lost, 4 gained."""
    backbone = tiny if request.param == "tiny" else load_backbone(f"local-dir:{NANO}")
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("grown")
    features = rng.standard_normal((144, backbone.dim), np.float32)

    def written(name: str, rows: range) -> store.Store:
        made_by = {"backbone_provenance": backbone.provenance, "fingerprint": name}
        with store.creating(folder / name, folder / "scratch", made_by) as writer:
            held = columns([f"item {row}" for row in rows], rank=[0] * len(rows))
            for group in ("image/test", "text/test"):
                writer.add(group, held, [{"features": features[list(rows)]}])
        return open_store(folder / name)

    return backbone, written("before.zip", range(140)), written("after.zip", range(2, 144))


@pytest.mark.parametrize(("method", "batch_size", "patience"), [(OTI, None, 2), (OVI, 5, None)])
def test_a_grown_sets_inversion_is_the_bytes_of_one_made_from_nothing(
    grown, run, tmp_path, method, batch_size, patience
) -> None:
    backbone, before, after = grown
    recipe = Recipe(4, patience=patience, tolerance=0.02, snapshots=(2,))
    chosen = {f"{'image' if method is OTI else 'text'}/test": np.arange(140)}
    grew = {name: np.arange(142) for name in chosen}
    options = {"backbone": backbone, "method": method, "recipe": recipe, "batch_size": batch_size}
    run(before, chosen=chosen, **options)
    path = tmp_path / f"{method.name}.zarr.zip"
    old = path.read_bytes()
    run(after, chosen=grew, **options)
    found = path.read_bytes()
    run(after, chosen=grew, scratch="elsewhere", **options)
    assert found == path.read_bytes() != old


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 139), min_size=1, max_size=20, unique=True), min_size=1, max_size=3))
def test_no_bit_depends_on_the_company_that_an_item_is_inverted_in(grown, parts) -> None:
    backbone, before, _ = grown
    group = before["image/test"]
    for method in (OTI, OVI):
        inverter = Inverter(backbone, method, Recipe(3), 32)
        if (key := (id(backbone), method.name)) not in _WHOLE:
            _WHOLE[key] = inverter(group.ids, group.features, lambda items: None)
        for rows in parts:
            found = inverter(group.ids[rows], group.features[rows], lambda items: None)
            for name in ("tokens", "features", "losses"):
                assert np.array_equal(getattr(found, name), getattr(_WHOLE[key], name)[rows])


_WHOLE: dict = {}


def test_a_workers_batch_is_no_larger_than_what_it_is_sent(tiny, features) -> None:
    """The cuts are sized where DVC runs; a worker with more room would fill them up in vain."""
    sizes = []

    class Counting(Oti):
        def inject(self, backbone):
            injection = super().inject(backbone)
            encode = lambda tokens: (sizes.append(len(tokens)), injection(tokens))[1]  # noqa: E731
            encode.shape = injection.shape
            return encode

    inverter = Inverter(tiny, Counting(), Recipe(1), None, most=4).to("cpu")
    found = inverter([*"abc"], features["image"][:3], lambda items: None)
    assert inverter.items_a_batch == 4 and len(found.features) == 3 and set(sizes[-2:]) == {4}


def test_no_batch_but_the_last_of_all_groups_is_filled_up(native, run) -> None:
    """Of 4 and 2 items in two groups, at a batch of 3, there are two batches and no third."""
    counting = Dying()
    run(native, method=counting, batch_size=3)
    assert counting.started == [3, 3]


@pytest.mark.parametrize("loss", ["cosine", "tokens"])
def test_phi_is_held_out_whole_images_of_captions(native, tiny, tmp_path, loss) -> None:
    path = tmp_path / "phi.safetensors"
    recipe = Distil(epochs=1, batch_size=2, held_out=0.74)  # 3 of the 4 captions, which are of 2 images
    more = {"on": {}, "scratch": tmp_path / "scratch", "targets": Recipe(1)}
    distil_store(native, "text/test", tiny, OVI, recipe, loss, path, **more)
    said = load_distilled(path, tiny).said["on"]
    assert (said["items"], said["held_out"]) == (2, 2)
