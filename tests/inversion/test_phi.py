from __future__ import annotations

import json

import numpy as np
import open_clip
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from crossgap import distil, load_backbone, load_distilled
from crossgap.backbones import BackboneError
from crossgap.inversion import phi
from crossgap.inversion.methods import Oti, Ovi
from crossgap.stores import temporary

FEW = {"epochs": 1, "batch_size": 8, "held_out": 0.0}


@pytest.fixture(scope="module")
def saved(tiny, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("phi") / "phi.safetensors"
    found = distil(images, tiny, tokens=2, on="48 images", **FEW)
    found.save(path)
    return found, path


def said(path) -> dict:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["crossgap"])


def test_what_is_saved_says_what_it_was_made_from(saved, tiny) -> None:
    found, path = saved
    held = said(path)
    assert held["weights_sha256"] == tiny.provenance["weights_sha256"]
    assert held["method"] == {"name": "oti", "template": "a photo of {}", "tokens": 2}
    assert (held["dim"], held["shape"], held["loss"]) == (24, [2, 32], "cosine")
    assert held["on"] == {"data": "48 images", "items": 48, "held_out": 0}
    assert held["recipe"]["epochs"] == 1 and len(held["code"]) == 32 and held["digest"] == found.digest


def test_what_is_loaded_gives_the_same_bits_and_is_saved_as_the_same_bytes(
    saved, tiny, images, tmp_path
) -> None:
    found, path = saved
    loaded = load_distilled(path, tiny, Oti(tokens=2))
    np.testing.assert_array_equal(loaded.tokens(images), found.tokens(images))
    assert loaded.said == found.said and loaded.digest == found.digest
    assert not any(p.requires_grad for p in loaded.phi.parameters())
    for number in range(3):  # several entries of metadata would come in any order
        loaded.save(tmp_path / f"{number}.safetensors")
        assert (tmp_path / f"{number}.safetensors").read_bytes() == path.read_bytes()


def test_what_a_dead_process_left_beside_it_goes(saved, tmp_path) -> None:
    left = tmp_path / f"x.safetensors.{temporary._HOST}.999999999.00000000.tmp"
    left.write_bytes(b"in part")
    saved[0].save(tmp_path / "x.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_another_backbone_is_refused(saved, tiny_folder, tmp_path) -> None:
    model = open_clip.create_model(f"local-dir:{tiny_folder}")
    with torch.no_grad():
        model.ln_final.bias += 1
    for name in tiny_folder.iterdir():
        (tmp_path / name.name).write_bytes(name.read_bytes())
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    with pytest.raises(
        BackboneError, match=r"phi.safetensors was distilled with .* of weights .*: distil with this"
    ):
        load_distilled(saved[1], load_backbone(f"local-dir:{tmp_path}"))


@pytest.mark.parametrize("method", [Oti(), Oti("a drawing of {}", 2), Ovi(2)])
def test_another_method_number_of_tokens_or_template_is_refused(saved, tiny, method) -> None:
    with pytest.raises(BackboneError, match=r"distilled for oti, template 'a photo of \{\}', tokens 2, and "):
        load_distilled(saved[1], tiny, method)


def test_another_width_is_refused(saved, tiny, tmp_path) -> None:
    changed, state = said(saved[1]) | {"shape": [2, 31]}, load_file(saved[1])
    state |= {name: state[name][: 2 * 31].clone() for name in ("last.weight", "last.bias")}
    save_file(state, tmp_path / "a.safetensors", {"crossgap": json.dumps(changed)})
    with pytest.raises(BackboneError, match=r"gives 2 × 31; .* takes 2 × 32"):
        load_distilled(tmp_path / "a.safetensors", tiny)


def test_a_file_that_was_changed_is_refused(saved, tiny, tmp_path) -> None:
    state, held, path = load_file(saved[1]), said(saved[1]), tmp_path / "a.safetensors"
    changes = [
        (state | {"last.bias": state["last.bias"] + 1e-3}, held),
        (state, held | {"on": {"data": "other"}}),
        (state, {name: value for name, value in held.items() if name != "digest"}),
        ({name: value for name, value in state.items() if name != "last.bias"}, held),
        (state | {"last.bias": state["last.bias"][:3].clone()}, held),
        (state, held | {"format": 0}),
        (state, held | {"shape": [2, 31]}),
        # nothing is made of it
        (state, held | {"shape": [10**9, 32], "method": held["method"] | {"tokens": 10**9}}),
        (state, held | {"dim": 10**9}),
        (state, held | {"method": held["method"] | {"name": "phi"}}),
        (state, held | {"method": held["method"] | {"more": 1}}),
        *((state, held | {name: None}) for name in ("dim", "shape", "method", "weights_sha256")),
        *(
            (state, {n: v for n, v in held.items() if n != name})
            for name in ("dim", "shape", "method", "model")
        ),
        *((state, other) for other in ([1], 3, None)),
    ]
    for tensors, says in changes:
        save_file(tensors, path, {"crossgap": json.dumps(says)})
        with pytest.raises(ValueError, match=r"a.safetensors holds no φ: .*; distil again"):
            load_distilled(path, tiny)
    save_file(state, path)
    for content in (path.read_bytes(), saved[1].read_bytes()[:-8], b"", b"no such file"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="holds no φ: it is cut short, or"):
            load_distilled(path, tiny)
    with pytest.raises(FileNotFoundError):
        load_distilled(tmp_path / "none.safetensors", tiny)


def test_a_file_may_say_why_there_is_none(tiny, tmp_path) -> None:
    phi.save_nothing(tmp_path / "none.safetensors", "no texts")
    with pytest.raises(ValueError, match="holds no φ: no texts"):
        load_distilled(tmp_path / "none.safetensors", tiny)
