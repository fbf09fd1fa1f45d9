"""Where Hugging Face's hub can't be reached: one line, at once, and the cache is read."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import sys
import threading
import time
import types

import pytest
import torch
from huggingface_hub import constants

from crossgap import load_backbone
from crossgap.backbones import BackboneError, hub


@pytest.fixture(autouse=True)
def online(monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_known", None)
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)


@pytest.fixture
def unreachable(monkeypatch) -> str:
    """The address of a port that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    return endpoint


@pytest.fixture
def answering(monkeypatch):
    """A hub that answers each request with an error; gives the requests."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_arguments) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + template)
    yield asked
    server.shutdown()
    server.server_close()


NAMES = [
    ("ViT-B-32-quickgelu", "openai"),
    ("hf-hub:nobody/nothing", None),
    ("timm:vit_small_patch14_dinov2.lvd142m", None),
]


@pytest.mark.parametrize(("model", "pretrained"), NAMES)
def test_weights_of_the_hub_are_missed_in_one_line_at_once(
    unreachable, tmp_path, capfd, caplog, model, pretrained
) -> None:
    start = time.perf_counter()
    with pytest.raises(
        BackboneError, match=rf"can't be had: {unreachable} can't be reached: .*checkpoint file"
    ) as raised:
        load_backbone(model, pretrained, cache_dir=str(tmp_path))
    assert time.perf_counter() - start < 8
    assert "\n" not in str(raised.value) and "Retrying" not in caplog.text + capfd.readouterr().err
    assert constants.HF_HUB_OFFLINE is False


def test_what_the_cache_has_is_loaded(unreachable, tiny_folder, tiny, tmp_path) -> None:
    repository = tmp_path / "models--org--own"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("f" * 40)
    shutil.copytree(tiny_folder, repository / "snapshots" / ("f" * 40))
    backbone = load_backbone("hf-hub:org/own", cache_dir=str(tmp_path))
    for ours, theirs in zip(backbone.model.parameters(), tiny.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert backbone.provenance["preprocessing"]["mean"] == [0.5, 0.5, 0.5]


def _fails_by_cache(*_words, **_options):
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        raise LocalEntryNotFoundError("not in the cache")
    except LocalEntryNotFoundError as error:
        raise OSError("We couldn't connect\nto the hub") from error


def _fails_by_itself(*_words, **_options):
    raise ValueError("Couldn't instantiate:\nyou need sentencepiece")


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        (_fails_by_cache, "HF_HUB_OFFLINE is set, and the cache lacks it"),
        (_fails_by_itself, "Couldn't instantiate: you need sentencepiece"),
    ],
)
def test_offline_a_tokenizer_is_missed_for_its_true_cause(
    tiny_folder, tmp_path, monkeypatch, failing, said
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    library = types.SimpleNamespace(
        AutoTokenizer=types.SimpleNamespace(from_pretrained=failing),
        dynamic_module_utils=types.SimpleNamespace(TIME_OUT_REMOTE_CODE=15),
    )
    monkeypatch.setitem(sys.modules, "transformers", library)
    snapshot = tmp_path / "models--org--own" / "snapshots" / ("f" * 40)
    shutil.copytree(tiny_folder, snapshot)
    (tmp_path / "models--org--own" / "refs").mkdir()
    (tmp_path / "models--org--own" / "refs" / "main").write_text("f" * 40)
    config = json.loads((snapshot / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {"hf_tokenizer_name": "org/words", "tokenizer_kwargs": {}}
    (snapshot / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError) as raised:
        load_backbone("hf-hub:org/own", cache_dir=str(tmp_path)).tokenize(["a"])
    assert str(raised.value) == (
        f"the tokenizer of 'hf-hub:org/own', 'org/words' of Hugging Face, can't be had: {said}"
    )


def test_a_hub_that_answers_is_asked_for_the_files(answering, tmp_path) -> None:
    with pytest.raises(BackboneError, match="can't be had") as raised:
        load_backbone("hf-hub:nobody/nothing", cache_dir=str(tmp_path))
    assert "can't be reached" not in str(raised.value)
    assert answering[0] in ("", "/") and any("nobody/nothing" in path for path in answering[1:])


def test_it_is_asked_once_a_minute(answering, monkeypatch) -> None:
    assert hub.unreachable() is None and hub.unreachable() is None and len(answering) == 1
    now = time.monotonic()
    monkeypatch.setattr(hub.time, "monotonic", lambda: now + 100)
    assert hub.unreachable() is None and len(answering) == 2


def test_offline_is_never_asked(answering, monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with hub.asked_if_reachable():
        assert hub.unreachable() == "HF_HUB_OFFLINE is set" and constants.HF_HUB_OFFLINE
    assert not answering and constants.HF_HUB_OFFLINE


def test_a_file_or_folder_asks_nobody(answering, tiny_folder, tmp_path, monkeypatch) -> None:
    from open_clip import factory

    load_backbone(f"local-dir:{tiny_folder}").tokenize(["a"])
    config = json.loads((tiny_folder / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-S-16", config)
    load_backbone("ViT-S-16", str(tiny_folder / "open_clip_model.safetensors")).tokenize(["a"])
    assert not answering
