"""Whatever writes .safetensors writes what it was given, not how it lies in memory.

safetensors 0.8.0 takes the bytes of a transposed array as they are.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from safetensors.numpy import load_file

from crossgap.catalogue import entries
from crossgap.exporting import export
from crossgap.stores import store
from crossgap.stores.shards import Shards
from crossgap.training import nano
from crossgap.training.nano_recipe import NanoRecipe
from crossgap.training.trainable import WEIGHTS, writer

ROOT = Path(__file__).parents[1]
WRITERS = [
    "crossgap/exporting.py",
    "crossgap/inversion/phi.py",
    "crossgap/stores/shards.py",
    "crossgap/training/nano.py",
    "crossgap/training/trainable.py",
]


def test_these_are_all_writers() -> None:
    saves = re.compile(r"from safetensors[\w.]* import .*\bsave|safetensors[\w.]*\.(save|serialize)")
    files = [file for folder in ("crossgap", "stages") for file in (ROOT / folder).rglob("*.py")]
    assert (
        sorted(file.relative_to(ROOT).as_posix() for file in files if saves.search(file.read_text()))
        == WRITERS
    )


def lying_otherwise(array: np.ndarray) -> list[np.ndarray]:
    """Equal to the array, and neither of them its rows one after the other."""
    wide = np.repeat(array, 2, axis=-1)
    return [np.asfortranarray(array), wide[..., ::2], array[::-1].copy()[::-1]]


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64])
def test_shards(tmp_path, way, dtype) -> None:
    array = np.arange(24).reshape(4, 6).astype(dtype)
    given = lying_otherwise(array)[way]
    assert not given.flags.c_contiguous
    shards = Shards.of(tmp_path, {"recipe": way})
    shards.put(list("abcd"), {"x": given})
    (file,) = shards.folder.glob("*.safetensors")
    np.testing.assert_array_equal(load_file(file)["x"], array)
    np.testing.assert_array_equal(shards.gather(list("dcba"))["x"], array[::-1])


def transposed(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """The model's weights, each of which is made to lie by columns first."""
    for weight in model.parameters():
        if weight.ndim > 1:
            axes = list(range(weight.ndim))[::-1]
            weight.data = weight.data.permute(axes).contiguous().permute(axes)
    assert any(not weight.is_contiguous() for weight in model.parameters())
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def equal(file: Path, state: dict[str, np.ndarray]) -> None:
    held = load_file(file)
    assert held.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(held[name], value)


def test_an_export(tmp_path) -> None:
    features = np.arange(24, dtype=np.float32).reshape(4, 6)
    with store.creating(tmp_path / "s.zip", tmp_path, {}) as made:
        made.add("image/test", {"id": np.array(list("abcd"), object)}, [{"features": features}])
    with zarr.config.set({"array.order": "F"}):
        held = store.open_store(tmp_path / "s.zip")
        assert not held["image/test"].features.flags.c_contiguous
        export(held, "safetensors", tmp_path / "out")
    (file,) = (tmp_path / "out").rglob("*.safetensors")
    np.testing.assert_array_equal(load_file(file)["features"], features)


def test_phi(tmp_path, tiny_folder) -> None:
    from crossgap import distil, load_backbone, load_distilled

    backbone = load_backbone(f"local-dir:{tiny_folder}")
    features = np.random.default_rng(0).normal(size=(8, backbone.dim)).astype(np.float32)
    found = distil(features, backbone, epochs=1, batch_size=4)
    state = transposed(found.phi)
    found.save(tmp_path / "phi.safetensors")
    equal(tmp_path / "phi.safetensors", state)
    load_distilled(tmp_path / "phi.safetensors", backbone)


def test_fine_tuned_backbones(tmp_path, tiny_folder, monkeypatch) -> None:
    from crossgap import load_backbone
    from crossgap.training import trainable

    backbone = load_backbone(f"local-dir:{tiny_folder}")
    monkeypatch.setattr(trainable, "_beside", lambda name: [])
    write = writer(backbone, None)
    state = transposed(backbone.model)
    write(tmp_path / "tuned")
    equal(tmp_path / "tuned" / WEIGHTS, state)


def test_the_nano_backbone(tmp_path, monkeypatch) -> None:
    section = copy.deepcopy(entries.nano())
    model = section["model"]
    model["vision_cfg"] |= {"layers": 1, "width": 32, "head_width": 16}
    model["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2}
    model["embed_dim"] = 16
    recipe = NanoRecipe(**{**section, "steps": 1, "warmup": 1, "batch_size": 8, "threads": 1})
    made, initial = [], nano._initial

    def lying(*arguments):
        made.append(initial(*arguments))
        transposed(made[-1][0])
        return made[-1]

    monkeypatch.setattr(nano, "_initial", lying)
    nano.train(recipe, tmp_path / "nano", tmp_path / "c.pt")
    state = made[0][0].state_dict()
    assert any(not value.is_contiguous() for value in state.values())
    equal(tmp_path / "nano" / nano.WEIGHTS, {name: value.numpy() for name, value in state.items()})
