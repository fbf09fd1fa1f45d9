"""OpenAI's checkpoints in their true forms: half precision in a TorchScript archive, and state dicts of it."""

from __future__ import annotations

import copy
import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip import factory
from torch import Tensor, nn

from crossgap import load_backbone
from crossgap.backbones import BackboneError, openai

MODEL = "ViT-B-32-quickgelu"
CONFIG = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 128, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
TRACING = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore::torch.jit.TracerWarning")


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    """The true name, of few and narrow layers."""
    monkeypatch.setitem(factory._MODEL_CONFIGS, MODEL, copy.deepcopy(CONFIG))


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, mask: Tensor | None) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        layers = [
            ("c_fc", nn.Linear(width, 4 * width)),
            ("gelu", QuickGELU()),
            ("c_proj", nn.Linear(4 * width, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.attn_mask = mask  # a plain attribute: a constant of the trace

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=self.attn_mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width: int, heads: int, mask: Tensor | None = None) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block(width, heads, mask) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(x.transpose(0, 1)).transpose(0, 1)


class Visual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 128, 8, 8, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(128))
        self.positional_embedding = nn.Parameter(torch.randn(17, 128))
        self.ln_pre, self.ln_post = nn.LayerNorm(128), nn.LayerNorm(128)
        self.transformer = Transformer(128, 2)
        self.proj = nn.Parameter(torch.randn(128, 24))

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        classes = self.class_embedding.expand(len(pixels), 1, -1)
        x = self.ln_pre(torch.cat([classes, patches], 1) + self.positional_embedding)
        return self.ln_post(self.transformer(x)[:, 0]) @ self.proj


class Clip(nn.Module):
    """CLIP with OpenAI's names, from its paper's architecture."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = Visual()
        self.transformer = Transformer(64, 2, torch.full((16, 16), -torch.inf).triu(1))
        self.token_embedding = nn.Embedding(49408, 64)
        self.positional_embedding = nn.Parameter(torch.randn(16, 64))
        self.ln_final = nn.LayerNorm(64)
        self.text_projection = nn.Parameter(torch.randn(64, 24))
        self.logit_scale = nn.Parameter(torch.tensor(4.6))
        for name, number in {"input_resolution": 32, "context_length": 16, "vocab_size": 49408}.items():
            self.register_buffer(name, torch.tensor(number))

    def forward(self, pixels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        x = self.transformer(self.token_embedding(ids) + self.positional_embedding)
        x = self.ln_final(x)[torch.arange(len(ids)), ids.argmax(-1)] @ self.text_projection
        return self.visual(pixels), x


@pytest.fixture(scope="module")
def released() -> Clip:
    """Weights as of half precision, in a model that computes in single."""
    torch.manual_seed(0)
    model = Clip().eval()
    for parameter in model.parameters():
        if parameter.ndim < 2:
            nn.init.normal_(parameter, 0.5, 0.3)
        parameter.data = parameter.data.half().float()
    return model


def ids() -> Tensor:
    return open_clip.SimpleTokenizer(context_length=16)(["a red dog", "two"])


def pixels() -> Tensor:
    return torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32).sin()


@pytest.fixture(scope="module")
def archive(released, tmp_path_factory) -> Path:
    half = copy.deepcopy(released)
    traced = torch.jit.trace(half, (pixels(), ids()), check_trace=False)
    for parameter in traced.parameters():
        parameter.data = parameter.data.half()
    path = tmp_path_factory.mktemp("openai") / "ViT-B-32.pt"
    torch.jit.save(traced, path)
    assert torch.jit.load(path).state_dict()["visual.proj"].dtype == torch.float16
    return path


@torch.no_grad()
def check(path: Path, released: Clip) -> None:
    backbone = load_backbone(MODEL, str(path))
    images, texts = released(pixels(), ids())
    torch.testing.assert_close(backbone.encode_images(pixels()).features, images, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(backbone.encode_texts(ids()).features, texts, rtol=1e-4, atol=1e-4)


@TRACING
def test_an_archive_gives_the_features_of_its_model(released, archive, recwarn, caplog) -> None:
    assert openai.is_archive(archive)
    check(archive, released)
    assert "randomly" not in caplog.text


@TRACING
def test_its_tensors_are_those_that_torch_finds_in_it(archive) -> None:
    found, expected = openai.tensors(archive), torch.jit.load(archive).state_dict()
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype


@TRACING
def test_nothing_of_an_archive_is_compiled_or_run(archive, released, monkeypatch) -> None:
    def never(*_arguments, **_options):
        raise AssertionError("an archive was loaded as a program")

    monkeypatch.setattr(torch.jit, "load", never)
    monkeypatch.setattr(torch._C, "import_ir_module", never)
    check(archive, released)


@TRACING
@pytest.mark.parametrize("kind", ["as of the archive", "without its numbers", "of training"])
def test_a_state_dict_of_it_will_do(archive, released, tmp_path, kind) -> None:
    state = OrderedDict(torch.jit.load(archive).state_dict())
    if kind != "as of the archive":
        for name in ("input_resolution", "context_length", "vocab_size"):
            del state[name]
    if kind == "of training":
        state = {"epoch": 1, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    torch.save(state, tmp_path / "own.pt")
    check(tmp_path / "own.pt", released)


@TRACING
def test_an_archive_of_another_model_is_refused(tmp_path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "other.pt")
    with pytest.raises(BackboneError, match=r"(?s)other\.pt' can't be loaded.*Missing key.*Unexpected key"):
        load_backbone(MODEL, str(tmp_path / "other.pt"))


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_code_in_an_archives_tree_is_refused_and_not_run(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.pt", "w") as made:
        made.writestr("bad/code/__torch__.py", "")
        made.writestr("bad/data.pkl", pickle.dumps(Malicious(tmp_path / "ran")))
    with pytest.raises(BackboneError, match=r"bad\.pt' can't be loaded: .*which is not executed"):
        load_backbone(MODEL, str(tmp_path / "bad.pt"))
    assert not (tmp_path / "ran").exists()


@TRACING
def test_an_archive_says_which_weights_it_holds(archive) -> None:
    provenance = load_backbone(MODEL, str(archive), precision="fp16").provenance
    assert provenance["precision"] == "fp16" and provenance["quick_gelu"] is True
    assert json.loads(json.dumps(provenance)) == provenance


def _archive(path: Path, tree: bytes, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("bad/code/__torch__.py", "")
        made.writestr("bad/data.pkl", tree)
        for name, content in members.items():
            made.writestr(f"bad/data/{name}", content)
    return path


def _tree(size: str, stride: str) -> bytes:
    """A module with one tensor over the storage 0, of four numbers."""
    storage = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI4\ntQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + f"I0\n{size}{stride}tR".encode()
    return b"\x80\x02c__torch__\nModel\n)\x81}X\x01\x00\x00\x00w" + tensor + b"sb."


def test_a_tensor_is_not_larger_than_its_storage(tmp_path) -> None:
    four = np.arange(4, dtype=np.float32).tobytes()
    held = openai.tensors(_archive(tmp_path / "good.pt", _tree("(I2\nI2\nt", "(I2\nI1\nt"), **{"0": four}))
    assert held["w"].tolist() == [[0, 1], [2, 3]]
    bad = _archive(tmp_path / "bad.pt", _tree("(L1099511627776L\nt", "(I0\nt"), **{"0": four})
    with pytest.raises(BackboneError, match=r"a tensor .* of 4 numbers; nothing of it was run"):
        load_backbone(MODEL, str(bad))


def test_members_are_not_larger_than_the_file(tmp_path) -> None:
    zeros = bytes(64 << 20)  # 64 kB in the file
    bad = _archive(tmp_path / "bad.pt", _tree("(I4\nt", "(I1\nt"), **{"0": zeros})
    with pytest.raises(BackboneError, match=r"claims more than the .* bytes"):
        load_backbone(MODEL, str(bad))
