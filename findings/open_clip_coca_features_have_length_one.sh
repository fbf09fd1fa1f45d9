#!/usr/bin/env bash
# open_clip: encode_image normalises the features of CoCa, and of no other model.
#
# A competent person would guess: create_model gives models that are called alike.
# encode_image and encode_text have a setting normalize, and one default of it: what
# comes out is what the towers compute, and its length may be measured or divided out.
#
# Versions: open_clip_torch 3.3.0, timm 1.0.31, torch 2.14.1, Python 3.11.
#
# What happens instead: normalize is False in CLIP and CustomTextCLIP, and True in
# CoCa. The same line gives raw features of one model and features of length 1 of the
# other: centres, distances between them, and variances of a list of models are on two
# scales, and the lengths of CoCa's features are gone. Nothing is warned of. Only calls
# that say normalize=False, or True, have one kind of features from all of them.
#
# Seen, the mean length of features, of models with random weights:
#   ViT-B-32 (CLIP):                  images 22.38, texts 22.73; normalize=False: images 22.38, texts 22.73
#   ViT-B-16-SigLIP (CustomTextCLIP): images 10.94, texts 28.01; normalize=False: images 10.94, texts 28.01
#   coca_ViT-B-32 (CoCa):             images 1.00, texts 1.00; normalize=False: images 18.54, texts 22.72
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check open_clip_torch==3.3.0 timm==1.0.31 \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6

cat > lengths.py <<'PY'
import logging
import sys
import warnings

import open_clip
import torch

logging.disable(logging.WARNING)  # "initialized randomly", of models that are made without weights
warnings.simplefilter("error")
torch.manual_seed(0)
seen = {}
for name in ("ViT-B-32", "ViT-B-16-SigLIP", "coca_ViT-B-32"):
    model = open_clip.create_model(name).eval()
    images = torch.randn(4, 3, 224, 224)
    texts = torch.randint(1, 1000, (4, model.context_length))
    lengths = []
    for settings in ({}, {"normalize": False}):
        with torch.no_grad():
            features = model.encode_image(images, **settings), model.encode_text(texts, **settings)
        lengths += [rows.norm(dim=1).mean().item() for rows in features]
    kind = type(model).__name__
    seen[kind] = [abs(length - 1) < 0.001 for length in lengths]
    images, texts, raw_images, raw_texts = lengths
    where = f"{name} ({kind}):"
    print(f"{where:<34}images {images:.2f}, texts {texts:.2f}; ", end="")
    print(f"normalize=False: images {raw_images:.2f}, texts {raw_texts:.2f}")
if seen != {"CLIP": [False] * 4, "CustomTextCLIP": [False] * 4, "CoCa": [True, True, False, False]}:
    sys.exit("the behaviour changed")
PY
venv/bin/python lengths.py
