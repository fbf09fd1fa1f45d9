#!/usr/bin/env bash
# open_clip: a locked ResNet gives other features after each batch.
#
# A competent person would guess: lock_image_tower() locks the image tower, as LiT
# does: while the text tower learns, the features of an image stay what they were,
# so that they may be computed once, or compared before and after.
#
# Versions: open_clip_torch 3.3.0, timm 1.0.31, torch 2.14.1, Python 3.11.
#
# What happens instead: it takes the gradients away, and leaves the running means
# and variances of batch normalisation to follow the batches, as freeze_bn_stats is
# False unless told. No parameter of the image tower changes and no optimiser needs
# to step, but in eval mode its features are soon other ones: the tower has moved
# to the new images. A ViT, which has no such layers, stays. Nothing is warned of.
#
# Seen, after 10 batches in train mode, of a locked image tower:
#   RN50:                       parameters that changed 0, features are: others
#   RN50, freeze_bn_stats=True: parameters that changed 0, features are: the same
#   ViT-B-32:                   parameters that changed 0, features are: the same
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check open_clip_torch==3.3.0 timm==1.0.31 \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6

cat > locked.py <<'PY'
import logging
import sys
import warnings

import open_clip
import torch

logging.disable(logging.WARNING)  # "initialized randomly", of models that are made without weights
warnings.simplefilter("error")
torch.manual_seed(0)
images = torch.randn(2, 3, 224, 224)


def features(model):
    with torch.no_grad():
        return model.eval().encode_image(images, normalize=True)


seen = []
for name, settings in (("RN50", {}), ("RN50", {"freeze_bn_stats": True}), ("ViT-B-32", {})):
    model = open_clip.create_model(name)
    model.lock_image_tower(**settings)
    parameters = [parameter.clone() for parameter in model.visual.parameters()]
    before = features(model)
    model.train()
    for _ in range(10):
        model.encode_image(2 * torch.randn(4, 3, 224, 224) + 1)  # what a step of training computes of the images
    changed = sum(not torch.equal(*pair) for pair in zip(parameters, model.visual.parameters(), strict=True))
    cosine = (before * features(model)).sum(dim=1).min().item()
    seen.append((changed, "the same" if cosine > 0.9999 else "others" if cosine < 0.9 else "near"))
    where = ", ".join([name, *(f"{key}={value}" for key, value in settings.items())]) + ":"
    print(f"{where:<27} parameters that changed {changed}, features are: {seen[-1][1]}")
if seen != [(0, "others"), (0, "the same"), (0, "the same")]:
    sys.exit("the behaviour changed")
PY
venv/bin/python locked.py
