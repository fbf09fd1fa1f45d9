"""What the program around a call asks torch for changes no bit of crossgap's, and is as it was afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import pytest
import torch

from crossgap import load_backbone
from crossgap.backbones.settings import own_settings
from tests.asked import ASKED


def state() -> dict[str, Any]:
    backends = torch.backends
    parts = {"tf32": (backends.cudnn, "allow_tf32")}
    if hasattr(backends.cudnn, "conv"):
        of = {
            "cuda": backends.cuda.matmul, "conv": backends.cudnn.conv,
            "cpu": backends.mkldnn.matmul, "cpu conv": backends.mkldnn.conv,
        }  # fmt: skip
        parts = {name: (part, "fp32_precision") for name, part in of.items()}
    try:
        products = torch.get_float32_matmul_precision()
    except RuntimeError:
        products = "of backends"
    return {
        "products": products,
        "benchmark": backends.cudnn.benchmark,
        "autocast": torch.is_autocast_enabled("cpu"),
        "type": torch.get_default_dtype(),
        "device": torch.empty(0).device.type,
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        **{name: getattr(*part) for name, part in parts.items()},
    }


@pytest.fixture(scope="module")
def inputs(tiny) -> dict[str, torch.Tensor]:
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return {"encode_images": pixels, "encode_texts": tiny.tokenize(["a cat", "two dogs", "hats"])[0]}


OWN = {
    "benchmark": False,
    "autocast": False,
    "type": torch.float32,
    "device": "cpu",
    "gradients": True,
    "inference": False,
}


@pytest.mark.parametrize("asked", [*ASKED, "nothing"])
def test_the_settings_are_crossgaps_and_then_as_they_were(asked) -> None:
    plain = state()
    with ASKED[asked]() if asked in ASKED else ExitStack():
        before = state()
        with own_settings():
            inside = state()
            with own_settings():
                assert state() == inside
            assert state() == inside
        assert state() == before
    assert (before != plain) == (asked in ASKED)
    assert inside["products"] == "highest" and {name: inside[name] for name in OWN} == OWN
    rest = {name: value for name, value in inside.items() if name not in OWN and name != "products"}
    assert set(rest.values()) == ({False} if "tf32" in rest else {"ieee"})


def test_another_default_device_is_set_aside() -> None:
    with torch.device("meta"):
        with own_settings():
            assert torch.zeros(1).device.type == "cpu"
        assert torch.zeros(1).device.type == "meta"


def test_an_error_leaves_the_settings_as_they_were() -> None:
    before = state()
    with ASKED["medium"](), pytest.raises(KeyError), own_settings():
        raise KeyError
    assert state() == before


def test_a_container_that_asks_for_tf32_does_not_get_it() -> None:
    program = """
import torch
from crossgap.backbones.settings import own_settings
before = torch.get_float32_matmul_precision()
with own_settings():
    inside = torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32
print(before, *inside, torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32)
"""
    environment = {**os.environ, "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert ran.stdout.split() == ["high", "highest", "False", "high", "True"], ran.stderr


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("encoded", ["encode_images", "encode_texts"])
def test_features_have_the_same_bits(tiny, inputs, encoded, asked) -> None:
    wanted = getattr(tiny, encoded)(inputs[encoded])
    with ASKED[asked]():
        found = getattr(tiny, encoded)(inputs[encoded])
    for name, held in vars(wanted).items():
        assert torch.equal(getattr(found, name), held)


@pytest.mark.parametrize("asked", ASKED)
def test_a_backbone_is_loaded_with_the_weights_of_its_file(tiny, tiny_folder, asked) -> None:
    with ASKED[asked]():
        loaded = load_backbone(f"local-dir:{tiny_folder}").model.state_dict()
    for name, held in tiny.model.state_dict().items():
        assert loaded[name].dtype == held.dtype and torch.equal(loaded[name], held)


def test_a_training_may_compute_under_its_own_autocast(tiny, inputs) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = tiny.forward_images(inputs["encode_images"]).features
    wanted = tiny.encode_images(inputs["encode_images"]).features
    assert 1e-4 < (found - wanted).abs().max() < 0.1
