#!/usr/bin/env bash
# open_clip: a 16-bit greyscale PNG is encoded as a white image.
#
# A competent person would guess: open_clip's transform takes any PIL image to
# RGB, and one of 16 bits a pixel (X-rays, microscopy, depth, satellites) to the
# same picture in 8 bits, as image viewers do.
#
# Versions: open_clip_torch 3.3.0, pillow 13.0.0, torch 2.14.1, Python 3.11.
#
# What happens instead: the transform calls Image.convert("RGB"), which cuts all
# values off at 255 of 65,535. A ramp from black to white becomes white but for
# its darkest 0.4 %. Nothing is raised or warned of, and every such image has
# nearly the same features.
#
# Seen:
#   a ramp of 8 bits:  mean 0.50 of 1, white 0.4 %
#   a ramp of 16 bits: mean 1.00 of 1, white 99.6 %
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check open_clip_torch==3.3.0 timm==1.0.31 \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 pillow==13.0.0

cat > ramp.py <<'PY'
import sys

import numpy as np
import open_clip
from PIL import Image

# neither resized nor normalised, so that what is seen is the image itself
transform = open_clip.image_transform(256, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
seen = []
for bits, kind in ((8, np.uint8), (16, np.uint16)):
    ramp = np.arange(256 * 256).reshape(256, 256) >> (16 - bits)
    Image.fromarray(ramp.astype(kind)).save(f"{bits}.png")
    pixels = transform(Image.open(f"{bits}.png"))
    seen.append((round(pixels.mean().item(), 2), round(100 * (pixels == 1).float().mean().item(), 1)))
    print(f"a ramp of {bits} bits: {' ' * (bits == 8)}mean {seen[-1][0]:.2f} of 1, white {seen[-1][1]} %")
if seen != [(0.5, 0.4), (1.0, 99.6)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python ramp.py
