#!/usr/bin/env bash
# timm: OpenAI's CLIP weights are offered under a name that computes them wrong.
#
# A competent person would guess: a name of timm.list_pretrained() is a network
# and weights that were trained in it, so that its features are those of the
# model that was published.
#
# Versions: timm 1.0.31, torch 2.14.1, Python 3.11.
#
# What happens instead: the weights of OpenAI, MetaCLIP and DFN were trained with
# QuickGELU, and timm has each of them twice: under "..._clip_quickgelu_...",
# which computes QuickGELU, and under "..._clip_...", which computes GELU, with
# the same file. Only the field "notes" of the tag's configuration tells;
# create_model says nothing, and the shorter name is the one that people guess.
# With equal weights, here random ones, the two give other features.
#
# Seen:
#   names of weights trained with QuickGELU that compute GELU: 17
#   vit_base_patch16_clip_224.openai: GELU
#   vit_base_patch16_clip_quickgelu_224.openai: QuickGELU
#   one file on the hub: True; one set of weights, equal features: False
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check timm==1.0.31 torch==2.14.1 \
    torchvision==0.29.1 numpy==2.4.6

cat > names.py <<'PY'
import sys

import timm
import torch
from timm.models import get_pretrained_cfg

names = [name for name in timm.list_pretrained("*_clip_*") if "quickgelu" not in name]
quick = [name for name in names if "QuickGELU" in " ".join(get_pretrained_cfg(name).notes or ())]
print("names of weights trained with QuickGELU that compute GELU:", len(quick))
pair = ["vit_base_patch16_clip_224.openai", "vit_base_patch16_clip_quickgelu_224.openai"]
torch.manual_seed(0)
models = [timm.create_model(name, pretrained=False).eval() for name in pair]
kinds = [type(model.blocks[0].mlp.act).__name__ for model in models]
for name, kind in zip(pair, kinds):
    print(f"{name}: {kind}")
one = len({get_pretrained_cfg(name).hf_hub_id for name in pair}) == 1
models[1].load_state_dict(models[0].state_dict())
image = torch.randn(1, 3, 224, 224)
with torch.no_grad():
    equal = torch.allclose(models[0](image), models[1](image), rtol=1e-3, atol=1e-3)
print(f"one file on the hub: {one}; one set of weights, equal features: {equal}")
if len(quick) != 17 or kinds != ["GELU", "QuickGELU"] or not one or equal:
    sys.exit("the behaviour changed")
PY
venv/bin/python names.py
