#!/usr/bin/env bash
# torchmetrics: average precision of cosines depends on how they are batched.
#
# A competent person would guess: a metric that is updated batch by batch gives
# what it gives for all batches at once; and average precision asks only for the
# order of the scores, so that cosines, from -1 to 1, are as good as any.
#
# Versions: torchmetrics 1.8.2, torch 2.14.1, Python 3.11.
#
# What happens instead: scores outside of 0 to 1 are taken for logits and go
# through a sigmoid, which is decided at each update. A batch with one negative
# cosine has all its cosines put between 0.27 and 0.73, one without has them as
# they are: 0.1 of the first kind comes before 0.5 of the second. Here every
# match has a higher cosine than everything else, and average precision is 1
# in one batch, 0.62 in two. No warning. (Known upstream: the tracker of
# torchmetrics has it open as issues 1604 and 2195.)
#
# Seen:
#   average precision: one batch 1.00, two batches 0.62
#   area under the ROC curve: one batch 1.00, two batches 0.44
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchmetrics==1.8.2 torch==2.14.1 numpy==2.4.6

cat > batches.py <<'PY'
import sys
import warnings

import torch
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision

warnings.simplefilter("error")
cosines = torch.tensor([0.38, 0.35, 0.32, 0.20, 0.34, 0.15, 0.10, -0.05])
matches = torch.tensor([1, 1, 1, 0, 1, 0, 0, 0])
seen = []
for name, kind in (("average precision", BinaryAveragePrecision), ("area under the ROC curve", BinaryAUROC)):
    once, twice = kind(), kind()
    once.update(cosines, matches)
    for part in (slice(0, 4), slice(4, 8)):
        twice.update(cosines[part], matches[part])
    seen += [round(once.compute().item(), 2), round(twice.compute().item(), 2)]
    print(f"{name}: one batch {seen[-2]:.2f}, two batches {seen[-1]:.2f}")
if seen != [1.0, 0.62, 1.0, 0.44]:
    sys.exit("the behaviour changed")
PY
venv/bin/python batches.py
