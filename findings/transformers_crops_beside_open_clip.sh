#!/usr/bin/env bash
# transformers and open_clip: one crops a photo a column beside the other.
#
# A competent person would guess: CLIPImageProcessor of transformers and the transform of
# open_clip are two builds of one preprocessing: resize, take the middle square, subtract
# the mean, divide by the deviation. With equal settings a picture becomes equal pixels in
# both, up to rounding.
#
# Versions: transformers 5.24.0, open_clip_torch 3.3.0, timm 1.0.31, torch 2.14.1,
# torchvision 0.29.1, pillow 13.0.0, Python 3.11.
#
# What happens instead: where an odd number of columns is too many, there are two middles.
# torchvision, and so open_clip, takes the one after an even number of columns (of 111 too
# many, 56 go at the left), transformers always the first (55 go), with Pillow as well as
# with torchvision below. With 3, 7, 11, ... too many the two differ: a quarter of all
# widths. Photos of 640 x 427 pixels, of which COCO has many, are among them. All patches
# are then cut one column off, and features that one has computed aren't those of the
# other. Nothing is raised or warned of. (Known upstream: see issue 22505 and pull request
# 40856 of transformers.)
#
# Seen, largest difference of pixels from 0 to 255, and where open_clip's are moved by 1:
#   640 x 480 becomes 298 x 224:   1, moved 84
#   640 x 427 becomes 335 x 224:  75, moved  1
#   640 x 426 becomes 336 x 224:   1, moved 76
#   427 x 640 becomes 224 x 335:  52, moved  1
#   widths from 224 to 423 with more than 1: 50 of 200
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 open_clip_torch==3.3.0 timm==1.0.31 \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 pillow==13.0.0
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > squares.py <<'PY'
import sys
import warnings

import numpy as np
import open_clip
from PIL import Image
from transformers import CLIPImageProcessor

warnings.simplefilter("error")
transform = open_clip.image_transform(224, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
processor = CLIPImageProcessor(do_normalize=False)
noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def differences(width, height):
    photo = Image.fromarray(noise).resize((width, height))
    ours = transform(photo).numpy()
    theirs = processor(photo, return_tensors="np")["pixel_values"][0]
    if width < height:
        ours, theirs = ours.swapaxes(1, 2), theirs.swapaxes(1, 2)
    moved = abs(ours[:, :, :-1] - theirs[:, :, 1:])
    return round(255 * float(abs(ours - theirs).max())), round(255 * float(moved.max()))


seen = []
for width, height in ((640, 480), (640, 427), (640, 426), (427, 640)):
    scale = 224 / min(width, height)
    size = f"{width} x {height} becomes {int(width * scale)} x {int(height * scale)}:"
    seen.append(differences(width, height))
    print(f"{size:<29} {seen[-1][0]:>3}, moved {seen[-1][1]:>2}")
off = [width for width in range(224, 424) if differences(width, 224)[0] > 1]
print(f"widths from 224 to 423 with more than 1: {len(off)} of 200")
same = [here <= 1 for here, _ in seen]
aside = [there <= 1 for _, there in seen]
if same != [True, False, True, False] or aside != [False, True, False, True] or off != list(range(227, 424, 4)):
    sys.exit("the behaviour changed")
PY
venv/bin/python squares.py
