#!/usr/bin/env bash
# torch: antialias=True changes pictures that are enlarged, if bicubic.
#
# A competent person would guess: antialias smooths what is made smaller, and has nothing
# to do where a picture is made larger, as bilinear shows. CIFAR's images of 32 pixels,
# enlarged to the 224 of CLIP, are the same with and without it, and as Pillow makes them.
#
# Versions: torch 2.14.1, torchvision 0.29.1, pillow 13.0.0, scikit-learn 1.9.1, Python 3.11.
#
# What happens instead: with antialias, "bicubic" is the curve of Pillow (a = -0.5), without
# it another, sharper one (a = -0.75), whatever the sizes are. So features of small images
# differ by who enlarged them: the two ways of torchvision on tensors, or Pillow. It reaches
# the models, too: for larger images open_clip enlarges CLIP's positions with antialias,
# transformers (interpolate_pos_encoding) without, and the same weights are two models.
# The documentation of interpolate speaks of Pillow and of downsampling alone.
#
# Seen, of two photos of 32 x 32 pixels enlarged to 224 x 224, against Pillow, largest and
# mean difference of pixels from 0 to 255:
#   bilinear, antialias=True:    0, 0.00
#   bilinear, antialias=False:   0, 0.00
#   bicubic, antialias=True:     1, 0.00
#   bicubic, antialias=False:   14, 0.90
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 pillow==13.0.0 \
    scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

cat > enlarge.py <<'PY'
import sys
import warnings

import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import Resize
from torchvision.transforms.v2.functional import pil_to_tensor

warnings.simplefilter("error")
photos = [Image.fromarray(photo[:, :427]).resize((32, 32)) for photo in load_sample_images().images]
seen = []
for mode in ("bilinear", "bicubic"):
    resample = Image.Resampling[mode.upper()]
    theirs = torch.stack([pil_to_tensor(photo.resize((224, 224), resample)) for photo in photos])
    for antialias in (True, False):
        enlarge = Resize((224, 224), interpolation=InterpolationMode(mode), antialias=antialias)
        ours = torch.stack([enlarge(pil_to_tensor(photo)) for photo in photos])
        off = (ours.float() - theirs.float()).abs()
        seen.append((off.max().item(), off.mean().item()))
        print(f"{f'{mode}, antialias={antialias}:':<27} {seen[-1][0]:>2.0f}, {seen[-1][1]:.2f}")
if any(largest > 2 for largest, _ in seen[:3]) or seen[3][0] < 10 or seen[3][1] < 0.5:
    sys.exit("the behaviour changed")
PY
venv/bin/python enlarge.py
