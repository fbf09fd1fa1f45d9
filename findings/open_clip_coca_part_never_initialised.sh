#!/usr/bin/env bash
# open_clip: a new CoCa holds numbers that nothing has set.
#
# A competent person would guess: create_model without weights draws all
# parameters from torch's generator, so that one seed gives one model.
#
# Versions: open_clip_torch 3.3.0, timm 1.0.31, torch 2.14.1, Python 3.11.
#
# What happens instead: the projection of CoCa's text decoder onto its
# vocabulary, of 512 x 49,408 numbers, is made by torch.empty and is never
# filled. It holds what its memory held before: mostly zeros in a fresh process,
# anything in a longer one, so that a training from nothing or a test with
# random weights is not given by its seed. ViT-B-32 has no such parameter.
# (torch shows it: in its deterministic mode empty memory is filled with NaN.)
#
# Seen:
#   coca_ViT-B-32: text_decoder.text_projection, 25296896 numbers
#   ViT-B-32: none
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check open_clip_torch==3.3.0 timm==1.0.31 \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6

cat > initialised.py <<'PY'
import logging
import sys

import open_clip
import torch

logging.disable(logging.WARNING)  # "initialized randomly"
torch.use_deterministic_algorithms(True)
assert torch.utils.deterministic.fill_uninitialized_memory


def unset(name):
    torch.manual_seed(0)
    parameters = open_clip.create_model(name).named_parameters()
    return [f"{part}, {int(held.isnan().sum())} numbers" for part, held in parameters if held.isnan().any()]


seen = [unset("coca_ViT-B-32"), unset("ViT-B-32")]
print("coca_ViT-B-32:", "; ".join(seen[0]) or "none")
print("ViT-B-32:", "; ".join(seen[1]) or "none")
if seen != [["text_decoder.text_projection, 25296896 numbers"], []]:
    sys.exit("the behaviour changed")
PY
venv/bin/python initialised.py
