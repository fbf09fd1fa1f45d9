#!/usr/bin/env bash
# open_clip: get_tokenizer takes any name, and gives CLIP's tokenizer for it.
#
# A competent person would guess: a model name that open_clip doesn't know is an
# error in get_tokenizer, as it is in create_model, and names are compared alike
# in both.
#
# Versions: open_clip_torch 3.3.0, timm 1.0.31, torch 2.14.1, Python 3.11.
#
# What happens instead: for an unknown name get_tokenizer returns SimpleTokenizer,
# the byte pairs of OpenAI's CLIP with 77 tokens, after a line in the log. With
# "ViT-B-16-SIGLIP", one word in capitals, a script that asks for the tokenizer
# alone (the model being loaded elsewhere) goes on with ids of another
# vocabulary, all of them valid ids of SigLIP's, in rows of 77 where it has 64.
#
# Seen:
#   create_model("ViT-B-16-SIGLIP"): RuntimeError
#   get_tokenizer("ViT-B-16-SIGLIP"): SimpleTokenizer, 77 ids, at most 49407 (SigLIP has 64 of 32000)
#   get_tokenizer("no such model"): SimpleTokenizer
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check open_clip_torch==3.3.0 timm==1.0.31 \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6

cat > misprint.py <<'PY'
import logging
import sys

import open_clip

logging.disable(logging.WARNING)  # the line in the log
name = "ViT-B-16-SIGLIP"
right = open_clip.get_model_config("ViT-B-16-SigLIP")["text_cfg"]
try:
    open_clip.create_model(name)
    model = "made"
except RuntimeError as error:
    model = type(error).__name__
tokenizer = open_clip.get_tokenizer(name)
ids = tokenizer(["a photo of a dog"])
kinds = [type(tokenizer).__name__, type(open_clip.get_tokenizer("no such model")).__name__]
sizes = [ids.shape[1], int(ids.max()), right["context_length"], right["vocab_size"]]
print(f'create_model("{name}"): {model}')
print(f'get_tokenizer("{name}"): {kinds[0]}, {sizes[0]} ids, at most {sizes[1]} (SigLIP has {sizes[2]} of {sizes[3]})')
print(f'get_tokenizer("no such model"): {kinds[1]}')
if model != "RuntimeError" or kinds != ["SimpleTokenizer"] * 2 or sizes != [77, 49407, 64, 32000]:
    sys.exit("the behaviour changed")
PY
venv/bin/python misprint.py
