#!/usr/bin/env bash
# timm and open_clip: for the same weights, timm cuts the edges off, for some models.
#
# A competent person would guess: timm's transform for CLIP's weights is that of CLIP
# and of open_clip, which reads OpenAI's from timm's own repositories: the shorter side
# to 224 pixels, and the middle. Size, mean, deviation and way to resize are so, and
# what one of these models sees of an image, the others see.
#
# Versions: timm 1.0.31, open_clip_torch 3.3.0, torch 2.14.1, torchvision 0.29.1, Python 3.11.
#
# What happens instead: where the entry of the weights says nothing of the crop, it is
# the default of networks of that kind, 0.9, as suits classifiers: the shorter side to
# 248 pixels, and the middle 224 of these. That is so of OpenAI's ViT-B and ResNets and
# of LAION's ViT-B-32, but not of OpenAI's ViT-L and not of LAION's ViT-B-16. A fifth of
# each (square) image is cut off for some models and for others not: models of two sizes
# or patches see other pixels, and so does one model in the two libraries. Nothing is
# warned of.
#
# Seen, what is left of a square image, by timm's transform and by open_clip's:
#   ViT-B-16 of openai:            timm 81%, open_clip 100%
#   ViT-L-14 of openai:            timm 100%, open_clip 100%
#   ViT-B-32 of laion2b_s34b_b79k: timm 81%, open_clip 100%
#   ViT-B-16 of laion2b_s34b_b88k: timm 100%, open_clip 100%
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check timm==1.0.31 open_clip_torch==3.3.0 \
    torch==2.14.1 torchvision==0.29.1 pillow==13.0.0 numpy==2.4.6

cat > edges.py <<'PY'
import dataclasses
import sys
import warnings

import numpy as np
import open_clip
import timm
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

warnings.simplefilter("error")
across, down = np.meshgrid(np.linspace(0, 255, 448), np.linspace(0, 255, 448))
image = Image.fromarray(np.stack([across, down, down], axis=-1).round().astype("uint8"))  # a ramp to each side


def share_that_is_left(transform, settings):
    """The part of the image that the transform keeps: that of the ramps which is left."""
    pixels = transform(image).numpy() * np.reshape(settings["std"], (3, 1, 1))
    return (pixels[0].max() - pixels[0].min()) * (pixels[1].max() - pixels[1].min())


seen = []
fields = {field.name for field in dataclasses.fields(PreprocessCfg)}
for model, tag, name in (
    ("ViT-B-16", "openai", "vit_base_patch16_clip_224.openai"),
    ("ViT-L-14", "openai", "vit_large_patch14_clip_224.openai"),
    ("ViT-B-32", "laion2b_s34b_b79k", "vit_base_patch32_clip_224.laion2b"),
    ("ViT-B-16", "laion2b_s34b_b88k", "vit_base_patch16_clip_224.laion2b"),
):
    entry = open_clip.get_pretrained_cfg(model, tag)
    ours = {key: value for key, value in entry.items() if key in fields}
    theirs = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    if not np.allclose(ours["std"], theirs["std"]) or theirs["input_size"][-1] != PreprocessCfg().size:
        sys.exit("the two transforms are not of the same weights")
    shares = [
        share_that_is_left(timm.data.create_transform(**theirs), theirs),
        share_that_is_left(image_transform_v2(PreprocessCfg(**ours), is_train=False), ours),
    ]
    percent = [round(100 * float(share)) for share in shares]
    seen.append(percent)
    print(f"{model} of {tag}:".ljust(30), f"timm {percent[0]}%, open_clip {percent[1]}%")
if seen != [[81, 100], [100, 100], [81, 100], [100, 100]]:
    sys.exit("the behaviour changed")
PY
venv/bin/python edges.py
