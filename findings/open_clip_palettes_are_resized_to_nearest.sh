#!/usr/bin/env bash
# open_clip and Pillow: a GIF or PNG with a palette is not resized bicubically.
#
# A competent person would guess: open_clip's transform has one way to resize,
# which it prints as bicubic with antialias=True, so that two files with equal
# pixels, one in RGB and one with a palette (most GIFs, many PNGs), become equal
# pixels for the model.
#
# Versions: open_clip_torch 3.3.0, pillow 13.0.0, torch 2.14.1, Python 3.11.
#
# What happens instead: the transform converts to RGB after it has resized.
# Pillow can't mix entries of a palette, and takes the nearest pixel, whatever
# was asked for; the same with images of 1 bit. Thin lines and text (charts,
# scans, line drawings) break up or vanish. Nothing is raised or warned of.
#
# Seen, of stripes one pixel wide, ten times the size wanted:
#   mode RGB: brightness 0.50, the same as of RGB: True
#   mode P:   brightness 0.00, the same as of RGB: False
#   mode 1:   brightness 0.00, the same as of RGB: False
#   mode P, converted before: the same as of RGB: True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check open_clip_torch==3.3.0 timm==1.0.31 \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 pillow==13.0.0

cat > stripes.py <<'PY'
import sys
import warnings

import numpy as np
import open_clip
import torch
from PIL import Image

# not normalised, so that what is seen is the image itself
transform = open_clip.image_transform(64, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
stripes = np.zeros((640, 640, 3), np.uint8)
stripes[:, ::2] = 255
colour = Image.fromarray(stripes)
colour.save("RGB.png")
colour.quantize(2).save("P.png")
colour.convert("1", dither=Image.Dither.NONE).save("1.png")
right, seen = transform(Image.open("RGB.png")), []
warnings.simplefilter("error")
for mode in ("RGB", "P", "1"):
    image = Image.open(f"{mode}.png")
    if image.mode != mode or (np.asarray(image.convert("RGB")) != stripes).any():
        sys.exit(f"{mode}.png is not what was to be compared")
    pixels = transform(image)
    seen.append((round(pixels.mean().item(), 2), torch.equal(pixels, right)))
    print(f"{f'mode {mode}:':<9} brightness {seen[-1][0]:.2f}, the same as of RGB: {seen[-1][1]}")
before = torch.equal(transform(Image.open("P.png").convert("RGB")), right)
print("mode P, converted before: the same as of RGB:", before)
if seen != [(0.5, True), (0.0, False), (0.0, False)] or not before:
    sys.exit("the behaviour changed")
PY
venv/bin/python stripes.py
