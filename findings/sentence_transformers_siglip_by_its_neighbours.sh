#!/usr/bin/env bash
# sentence-transformers: a text's SigLIP features depend on the texts beside it.
#
# A competent person would guess: a SigLIP model that SentenceTransformer opens, and
# prints as giving text features and image features, is fed as it was trained: each
# text filled up to 64 tokens. The features are those of transformers, whatever other
# texts are encoded in the same call.
#
# Versions: sentence-transformers 6.2.0, transformers 5.24.0, sentencepiece 0.2.3,
# torch 2.14.1, Python 3.11.
#
# What happens instead: texts are filled up to the longest of their batch. SigLIP has no
# mask, and takes a text's features at the last place: with other neighbours (another
# batch size, another order, a class list with one long name) they are others, and in
# no batch are they what the images were trained to lie near. Nothing is raised or warned
# of. processing_kwargs={"text": {"padding": "max_length"}} in encode mends it.
#
# Seen, with weights drawn at random, features of "a dog" beside those of transformers
# with padding="max_length", cosine:
#   transformers, beside a longer text:           1.00
#   SentenceTransformer, alone:                   0.69
#   SentenceTransformer, beside a longer text:    0.99
#   with processing_kwargs, beside a longer text: 1.00
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check sentence-transformers==6.2.0 transformers==5.24.0 \
    sentencepiece==0.2.3 protobuf==7.36.2 torch==2.14.1 torchvision==0.29.1 pillow==13.0.0 numpy==2.4.6
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 TQDM_DISABLE=1

cat > texts.py <<'PY'
import sys
from pathlib import Path

import sentencepiece
import torch
from sentence_transformers import SentenceTransformer
from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor, SiglipTokenizer
from transformers.utils import logging

text, longer = "a dog", "a man riding a red horse through the green field near the river"
Path("words.txt").write_text("\n".join([text, longer]))
sentencepiece.SentencePieceTrainer.train(
    input="words.txt", model_prefix="spiece", vocab_size=40, hard_vocab_limit=False, eos_id=1, unk_id=2, bos_id=-1,
    pad_id=0, minloglevel=2,
)
tokenizer = SiglipTokenizer("spiece.model", model_input_names=["input_ids"])
logging.set_verbosity_error()  # of ids that a default configuration has, as this one is written
tower = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
words = {"vocab_size": 40, "max_position_embeddings": 64, "projection_size": 64}
words |= {"eos_token_id": 1, "bos_token_id": None}
torch.manual_seed(0)
model = SiglipModel(
    SiglipConfig(text_config={**tower, **words}, vision_config={**tower, "image_size": 32, "patch_size": 16})
).eval()
model.save_pretrained("siglip")
pixels = SiglipImageProcessor(size={"height": 32, "width": 32})
SiglipProcessor(image_processor=pixels, tokenizer=tokenizer).save_pretrained("siglip")
logging.set_verbosity_warning()
opened = SentenceTransformer("siglip", device="cpu")


def transformers(texts):
    tokens = tokenizer(texts, padding="max_length", return_tensors="pt")
    with torch.no_grad():
        return model.get_text_features(**tokens).pooler_output


def sentences(texts, **settings):
    return opened.encode(texts, convert_to_tensor=True, **settings)


trained = transformers([text])[0]
filled = {"processing_kwargs": {"text": {"padding": "max_length"}}}
seen = []
for what, features in (
    ("transformers, beside a longer text:", transformers([text, longer])),
    ("SentenceTransformer, alone:", sentences([text])),
    ("SentenceTransformer, beside a longer text:", sentences([text, longer])),
    ("with processing_kwargs, beside a longer text:", sentences([text, longer], **filled)),
):
    cosine = torch.cosine_similarity(features[0], trained, dim=0).item()
    seen.append(f"{cosine:.2f}")
    print(f"{what:<45} {cosine:.2f}")
if not (seen[0] == seen[3] == "1.00" and len({"1.00", *seen[1:3]}) == 3):
    sys.exit("the behaviour changed")
PY
venv/bin/python texts.py
