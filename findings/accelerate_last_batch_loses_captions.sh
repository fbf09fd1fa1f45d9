#!/usr/bin/env bash
# accelerate: of five captions an image, those of the last batch are dropped.
#
# A competent person would guess: gather_for_metrics drops the samples by which the last
# batch was filled up, so that each process has as many. On one process nothing was filled
# up, and nothing is dropped. What is no multiple of a sample can't be one of them.
#
# Versions: accelerate 1.15.0, torch 2.14.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: what is gathered of the last batch is cut to as many rows as it has
# images, on one process, too. Five captions an image are five times as many rows (so are
# crops, and views): four of five are lost, the last ones. With 1,000 images in batches of
# 256 that is a fifth of all captions, on two processes two fifths. Ids that are gathered
# beside the features are cut alike and still fit them. Images whose captions aren't there
# find none, the others have less to find theirs among: recall depends on the size of the
# batch and on the number of GPUs. Nothing is raised or warned of. Where the batch divides
# the images nothing is lost, nor with captions in the shape (images, 5, width).
#
# Seen, of the same features of 1,000 images and 5,000 captions:
#   processes 1, batch 250: 5000 captions, recall at 1 of texts 0.739, of images 0.496
#   processes 1, batch 256: 4072 captions, recall at 1 of texts 0.617, of images 0.498
#   processes 2, batch 256: 3048 captions, recall at 1 of texts 0.482, of images 0.496
#   processes 2, batch 256, as (images, 5, width): 5000 captions, recall at 1 of texts 0.739, of images 0.496
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check accelerate==1.15.0 torch==2.14.1 numpy==2.4.6
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1

cat > captions.py <<'PY'
import sys
import warnings

import torch
from accelerate import Accelerator
from torch.nn.functional import normalize
from torch.utils.data import DataLoader

warnings.simplefilter("error")
images, captions, width = 1000, 5, 64
torch.manual_seed(0)
content = torch.randn(images, width)
image_features = normalize(content + torch.randn(images, width), dim=-1)
text_features = normalize(content[:, None] + 1.5 * torch.randn(images, captions, width), dim=-1)
accelerator = Accelerator(cpu=True)


def recalls(batch, flat):
    of_images, of_texts, owners = [], [], []
    for rows in accelerator.prepare(DataLoader(range(images), batch_size=batch)):
        texts, owner = text_features[rows], rows[:, None].expand(-1, captions)
        if flat:
            texts, owner = texts.flatten(0, 1), owner.flatten()
        seen = accelerator.gather_for_metrics((image_features[rows], texts, owner.contiguous()))
        of_images.append(seen[0])
        of_texts.append(seen[1].reshape(-1, width))
        owners.append(seen[2].flatten())
    of_images, of_texts, owners = torch.cat(of_images), torch.cat(of_texts), torch.cat(owners)
    cosines = of_images @ of_texts.T
    to_text = (owners[cosines.argmax(1)] == torch.arange(images)).double().mean().item()
    to_image = (cosines.argmax(0) == owners).double().mean().item()
    return len(of_texts), round(to_text, 3), round(to_image, 3)


seen = []
for batch, flat in ((250, True), (256, True), (256, False)):
    seen.append(recalls(batch, flat))
    shape = "" if flat else ", as (images, 5, width)"
    if accelerator.is_main_process:
        count, to_text, to_image = seen[-1]
        print(
            f"processes {accelerator.num_processes}, batch {batch}{shape}: {count} captions, "
            f"recall at 1 of texts {to_text}, of images {to_image}"
        )
right, cut, shaped = seen
accelerator.end_training()
lost = {1: 4 * 232, 2: 4 * 488}[accelerator.num_processes]
if right != shaped or right[0] != 5000 or cut[0] != 5000 - lost or cut[1] > right[1] - 0.1:
    sys.exit("the behaviour changed")
PY
venv/bin/python captions.py
venv/bin/torchrun --standalone --nproc-per-node 2 captions.py
