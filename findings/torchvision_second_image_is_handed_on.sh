#!/usr/bin/env bash
# torchvision: of two images in a sample, v2 normalises one and hands on the other.
#
# A competent person would guess: transforms of v2 take any sample, a dict or a tuple, and
# transform all images in it, as they do with PIL images. Where images are tensors, as a
# reader of tar files decodes them, two images (before and after, query and target, the
# pairs of Winoground and NLVR2) are both resized, cropped and normalised.
#
# Versions: torchvision 0.29.1, torch 2.14.1, Python 3.11.
#
# What happens instead: only the first tensor of a sample is taken for an image, the others
# are handed on as they are, neither augmented nor normalised. If images have one size, as
# web datasets often keep them, shapes and types fit, and both make batches. All second
# images then have other brightness and contrast for the model, and lie elsewhere than the
# first ones: a gap between two sets of like images that isn't the model's. Nothing is
# raised or warned of. With PIL images, or tensors that are made tv_tensors.Image, both are
# transformed. (Meant so upstream, for labels and masks: see issue 9264 of torchvision.)
#
# Seen, of 200 pairs of images, their pixels and the features of an untrained network:
#   PIL images: mean of the first 0.09, of the second 0.09; gap 0.03, pairs found 0.97
#   tv_tensors: mean of the first 0.10, of the second 0.10; gap 0.03, pairs found 0.97
#   tensors:    mean of the first 0.10, of the second 0.48; gap 0.55, pairs found 0.24
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchvision==0.29.1 torch==2.14.1 numpy==2.4.6 pillow==13.0.0
export OMP_NUM_THREADS=1

cat > pairs.py <<'PY'
import sys
import warnings

import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

warnings.simplefilter("error")
torch.manual_seed(0)
count, size = 200, 32
mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
content = nn.functional.interpolate(torch.rand(count, 3, 4, 4), size, mode="bilinear")
pairs = [0.5 * content + 0.45 * torch.rand(count, 3, size, size) for _ in range(2)]
network = nn.Sequential(
    nn.Conv2d(3, 32, 5, 2), nn.ReLU(), nn.Conv2d(32, 64, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
)
of_tensors = v2.Compose([v2.CenterCrop(size), v2.Normalize(mean, deviation)])
of_pil = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), of_tensors])
seen = {}
for name, made, transform in (
    ("PIL images", v2.ToPILImage(), of_pil),
    ("tv_tensors", tv_tensors.Image, of_tensors),
    ("tensors", lambda image: image, of_tensors),
):
    samples = [transform({"before": made(a), "after": made(b), "caption": "a change"}) for a, b in zip(*pairs)]
    before, after = (torch.stack([sample[key] for sample in samples]) for key in ("before", "after"))
    with torch.no_grad():
        rows = [nn.functional.normalize(network(images), dim=-1) for images in (before, after)]
    found = ((rows[0] @ rows[1].T).argmax(1) == torch.arange(count)).double().mean().item()
    gap = (rows[0].mean(0) - rows[1].mean(0)).norm().item()
    seen[name] = [round(value, 2) for value in (before.mean().item(), after.mean().item(), gap, found)]
    text = "mean of the first {:.2f}, of the second {:.2f}; gap {:.2f}, pairs found {:.2f}"
    print(f"{name + ':':<12}" + text.format(*seen[name]))
pil, images, tensors = seen.values()
if max(abs(one - other) for one, other in zip(pil, images)) > 0.02 or abs(images[0] - images[1]) > 0.02:
    sys.exit("the behaviour changed")
if abs(tensors[0] - images[0]) > 0.02 or tensors[1] < 0.4 or tensors[2] < 0.4 or tensors[3] > images[3] - 0.3:
    sys.exit("the behaviour changed")
PY
venv/bin/python pairs.py
