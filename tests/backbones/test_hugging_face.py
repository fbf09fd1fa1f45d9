"""A tokenizer of Hugging Face's in a folder of one's own, read by open_clip through transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from crossgap.backbones import BackboneError, load_backbone

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
