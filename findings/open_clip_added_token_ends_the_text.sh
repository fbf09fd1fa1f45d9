#!/usr/bin/env bash
# open_clip: what stands after a token that was added to the vocabulary isn't read.
#
# A competent person would guess: the tokenizer takes additional special tokens, as
# textual inversion needs one for a concept ("a photo of <mine> on the beach"), and
# the model gives the features of the whole text, at its end-of-text token.
#
# Versions: open_clip_torch 3.3.0, timm 1.0.31, torch 2.14.1, Python 3.11.
#
# What happens instead: the features are taken where the id is largest. That was the
# end-of-text token's, 49407, and an added token's is larger: the features are those
# at <mine>, and as no token sees what comes later, all texts that begin alike have
# the same ones. Queries of composed retrieval lose what they ask for. Nothing is
# raised or warned of. With pool_type "eos" and the eos_id in the configuration,
# which loads the same weights, the whole text counts.
#
# Seen, features of the two texts "a photo of ... on the beach" and "... in a box":
#   of a dog,  as configured:   differ
#   of <mine>, as configured:   are equal
#   of <mine>, pool_type "eos": differ
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check open_clip_torch==3.3.0 timm==1.0.31 \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > texts.py <<'PY'
import json
import logging
import sys
import warnings
from pathlib import Path

import open_clip
import torch

logging.disable(logging.WARNING)  # "initialized randomly", of models that are made without weights
warnings.simplefilter("error")
usual = json.loads(json.dumps(open_clip.get_model_config("ViT-B-32")))
for name, pooling in (("more", {}), ("more-eos", {"pool_type": "eos", "eos_id": 49407})):
    config = {**usual, "text_cfg": {**usual["text_cfg"], "vocab_size": 49409, "layers": 2, **pooling}}
    config["vision_cfg"] = {**usual["vision_cfg"], "layers": 1}
    Path(f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(f"{name}.json")
torch.manual_seed(0)
weights = open_clip.create_model("more").state_dict()


def features(name, concept):
    model = open_clip.create_model(name).eval()
    model.load_state_dict(weights)
    tokenizer = open_clip.get_tokenizer(name, additional_special_tokens=["<mine>"])
    tokens = tokenizer([f"a photo of {concept} {where}" for where in ("on the beach", "in a box")])
    if (49408 in tokens[0]) != (concept == "<mine>") or 49407 not in tokens[0] or torch.equal(*tokens):
        sys.exit("the tokens are not what was to be encoded")
    with torch.no_grad():
        return model.encode_text(tokens, normalize=True)


seen = []
for what, name, concept in (
    ("of a dog,  as configured:", "more", "a dog"),
    ("of <mine>, as configured:", "more", "<mine>"),
    ('of <mine>, pool_type "eos":', "more-eos", "<mine>"),
):
    first, second = features(name, concept)
    seen.append("are equal" if torch.equal(first, second) else "differ")
    print(f"{what:<27} {seen[-1]}")
if seen != ["differ", "are equal", "differ"]:
    sys.exit("the behaviour changed")
PY
venv/bin/python texts.py
