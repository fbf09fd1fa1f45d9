#!/usr/bin/env bash
# open_clip: weights for another image size load without a word.
#
# A competent person would guess: a checkpoint file whose tensors have other
# shapes than the model that is named is refused, as load_state_dict refuses it
# (create_model loads strictly, and says so of missing names).
#
# Versions: open_clip_torch 3.3.0, timm 1.0.31, torch 2.14.1, Python 3.11.
#
# What happens instead: the positions of patches are interpolated to the model's
# own grid, those of tokens to its context length, with a line of level INFO,
# which nobody sees. Weights of ViT-B-32-256 (images of 256 pixels, 64 patches)
# named as ViT-B-32 give a model for 224 pixels and 49 patches that nobody has
# trained, with features of the right shape. No warning, no flag asks for it.
#
# Seen:
#   positions in the file: 65, load_state_dict of torch: RuntimeError
#   create_model("ViT-B-32", pretrained=file): made, positions 50, warnings 0
#   nearest difference of a position to one in the file: not 0
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check open_clip_torch==3.3.0 timm==1.0.31 \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6

cat > sizes.py <<'PY'
import logging
import sys
import warnings

import open_clip
import torch

logging.disable(logging.WARNING)  # "initialized randomly", of the models made without weights
state = open_clip.create_model("ViT-B-32-256").state_dict()
torch.save(state, "weights.pt")
saved = state["visual.positional_embedding"]
try:
    open_clip.create_model("ViT-B-32").load_state_dict(state)
    strict = "loaded"
except RuntimeError as error:
    strict = type(error).__name__
logging.disable(logging.NOTSET)
said = []
logging.getLogger().addHandler(type("Heard", (logging.Handler,), {"emit": lambda self, record: said.append(record)})())
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    model = open_clip.create_model("ViT-B-32", pretrained="weights.pt")
positions = model.visual.positional_embedding
heard = [record for record in said if record.levelno >= logging.WARNING]
shape_warnings = [entry for entry in warned if "posit" in str(entry.message) or "size" in str(entry.message)]
print(f"positions in the file: {len(saved)}, load_state_dict of torch: {strict}")
print(f'create_model("ViT-B-32", pretrained=file): made, positions {len(positions)}, '
      f"warnings {len(heard) + len(shape_warnings)}")
nearest = torch.cdist(positions[1:], saved[1:]).min().item()
print("nearest difference of a position to one in the file:", "0" if nearest == 0 else "not 0")
if strict != "RuntimeError" or (len(saved), len(positions)) != (65, 50) or heard or shape_warnings or nearest == 0:
    sys.exit("the behaviour changed")
PY
venv/bin/python sizes.py
