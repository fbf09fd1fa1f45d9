"""A tokenizer of Hugging Face's in a folder of one's own, read by open_clip through transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from open_clip import factory

from crossgap.backbones import BackboneError, load_backbone, towers
from crossgap.backbones.tokenizers import load_tokenizer

pytest.importorskip("transformers")
WORDS = ["<pad>", "<s>", "</s>", "<unk>", "a", "photo", "of", "red", "dog"]


@pytest.fixture(scope="module")
def folder(tiny_folder, tmp_path_factory) -> Path:
    """The tiny model with a tokenizer of words, lower-cased, between <s> and </s>."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("hugging-face") / "own"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {"hf_tokenizer_name": "nobody/none", "context_length": 8}
    config["model_cfg"]["text_cfg"] |= {"vocab_size": len(WORDS), "eos_id": 2, "pool_type": "eos"}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(CLIP(**config["model_cfg"]).state_dict(), folder / "open_clip_model.safetensors")
    words = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    words.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    said = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return folder


def test_its_ids_are_those_of_the_words_and_what_is_cut_is_told(folder) -> None:
    backbone = load_backbone(f"local-dir:{folder}")
    ids, cut = backbone.tokenize(["A photo of  a RED dog", "cat", "a a a a a a a"])
    assert ids.tolist() == [[1, 4, 5, 6, 4, 7, 8, 2], [1, 3, 2, 0, 0, 0, 0, 0], [1, 4, 4, 4, 4, 4, 4, 2]]
    assert cut.tolist() == [False, False, True]
    right = backbone.model.encode_text(ids)
    torch.testing.assert_close(backbone.encode_texts(ids).features, right, rtol=1e-4, atol=1e-5)


def test_a_folder_without_its_tokenizer_says_so(folder, tmp_path) -> None:
    shutil.copytree(folder, tmp_path / "own", ignore=shutil.ignore_patterns("tokenizer*"))
    backbone = load_backbone(f"local-dir:{tmp_path / 'own'}")
    with pytest.raises(BackboneError, match=r"the tokenizer of 'local-dir:.*own' can't be had"):
        backbone.tokenize(["a dog"])


def changed(folder: Path, path: Path, **documents) -> str:
    """A copy of the folder with fields of its documents changed, None: taken out; its model's name."""
    shutil.copytree(folder, path)
    for name, fields in documents.items():
        file = path / f"{name}.json"
        document = json.loads(file.read_text())
        held = document["model_cfg"]["text_cfg"] if name == "open_clip_config" else document
        held |= fields
        for field in [field for field, value in fields.items() if value is None]:
            del held[field]
        file.write_text(json.dumps(document))
    return f"local-dir:{path}"


@pytest.mark.parametrize("kwargs", [{}, {"trust_remote_code": True}], ids=["asking", "trusting"])
def test_code_of_a_folder_is_not_run_and_nobody_asked(folder, tmp_path, monkeypatch, kwargs) -> None:
    model = changed(
        folder,
        tmp_path / "own",
        tokenizer_config={"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}},
        open_clip_config={"tokenizer_kwargs": kwargs},
    )
    (tmp_path / "own" / "own.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\nclass Own: pass\n")
    monkeypatch.setattr("builtins.input", lambda *_words: pytest.fail("asked"))
    with pytest.raises(BackboneError, match="brings code of its own, which is not run"):
        load_backbone(model).tokenize(["a dog"])
    assert not (tmp_path / "run").exists()


def test_code_of_a_text_tower_is_not_run_and_nobody_asked(folder, tmp_path, monkeypatch) -> None:
    tower = tmp_path / "tower"
    tower.mkdir()
    (tower / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}})
    )
    (tower / "own.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\nclass Own: pass\n")
    model = changed(folder, tmp_path / "own", open_clip_config={"hf_model_name": str(tower)})
    monkeypatch.setattr("builtins.input", lambda *_words: pytest.fail("asked"))
    with pytest.raises(BackboneError, match="text tower brings code of its own, which is not run"):
        load_backbone(model)
    assert not (tmp_path / "run").exists()


def test_a_tokenizer_that_cannot_pad_says_so(folder, tmp_path) -> None:
    model = changed(folder, tmp_path / "own", tokenizer_config={"pad_token": None})
    with pytest.raises(BackboneError, match="no padding token: name one as pad_token"):
        load_backbone(model).tokenize(["a dog"])


def test_a_tokenizer_of_more_tokens_than_the_model_says_so(folder, tmp_path) -> None:
    model = changed(folder, tmp_path / "own", tokenizer_config={"eos_token": "<end>"})
    stored = json.loads((tmp_path / "own" / "tokenizer.json").read_text())
    stored["model"]["vocab"]["cat"] = len(WORDS)
    (tmp_path / "own" / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(BackboneError, match=r"gives the token 9, and the model has 9 of them, from 0"):
        load_backbone(model).tokenize(["a dog", "a cat"])


def test_padding_in_front_cuts_nothing(folder, tmp_path) -> None:
    model = changed(folder, tmp_path / "own", tokenizer_config={"padding_side": "left"})
    ids, cut = load_backbone(model).tokenize(["a dog", "", "a a a a a a", "a a a a a a a"])
    assert ids[:2].tolist() == [[0, 0, 0, 0, 1, 4, 8, 2], [0, 0, 0, 0, 0, 0, 1, 2]]
    assert cut.tolist() == [False, False, False, True]


def test_a_tokenizer_that_is_not_as_its_file_says_is_refused(folder, tmp_path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    model = changed(
        folder,
        tmp_path / "own",
        tokenizer_config={"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    )
    vocabulary = {word: place for place, word in enumerate([*WORDS, "A"])}
    words = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    words.normalizer = normalizers.BertNormalizer(lowercase=True)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.save(str(tmp_path / "own" / "tokenizer.json"))
    with pytest.raises(
        BackboneError, match=r"otherwise than its tokenizer.json says .*PreTrainedTokenizerFast"
    ):
        load_backbone(model).tokenize(["A dog"])


def test_a_tokenizer_in_a_folder_that_a_configuration_names_is_read(folder, tmp_path, monkeypatch) -> None:
    text = {"hf_tokenizer_name": str(folder), "context_length": 8}
    config = {"embed_dim": 8, "vision_cfg": {}, "text_cfg": text}
    (tmp_path / "own.json").write_text(json.dumps(config))
    monkeypatch.setattr(towers, "OWN_CONFIGS", tmp_path)
    monkeypatch.setitem(factory._MODEL_CONFIGS, "own", config)
    assert load_tokenizer("own")(["a dog"]).tolist() == [[1, 4, 8, 2, 0, 0, 0, 0]]
