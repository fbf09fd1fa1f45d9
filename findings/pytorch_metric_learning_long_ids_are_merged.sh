#!/usr/bin/env bash
# pytorch-metric-learning: with image ids of nine digits, a neighbour's image is right.
#
# A competent person would guess: AccuracyCalculator compares labels for equality. Where
# each pair of an image and a text has a label of its own, the id of the image will do as
# well as the number of the row, since integers of 64 bits have room for both.
#
# Versions: pytorch-metric-learning 2.9.0, faiss-cpu 1.15.1, torch 2.14.1, Python 3.11.
#
# What happens instead: labels are made float32 along with the features. From 16,777,216
# on, whole numbers that lie close are one number: pairs of them at first, of nine digits 8
# to 64, and images with such ids count as one another. The first place and the reciprocal
# rank get better, where images of near ids look alike (frames of a film, products of a
# shop) by much, and R-precision and MAP@R get worse, as more matches are due that aren't
# near. Web datasets have such ids: the key of the 5,679th image in shard 12,345 is
# 123455678. Nothing is raised or warned of.
#
# Seen, of the same 1,000 texts and images, five in a row of one film:
#   first id 0:         precision at 1 0.74, MAP@R 0.74
#   first id 16000000:  precision at 1 0.74, MAP@R 0.74
#   first id 123450000: precision at 1 0.92, MAP@R 0.47
#   by hand, any id:    precision at 1 0.74
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pytorch-metric-learning==2.9.0 faiss-cpu==1.15.1 \
    torch==2.14.1 scikit-learn==1.9.1 numpy==2.4.6

cat > labels.py <<'PY'
import sys
import warnings

import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch.nn.functional import normalize

warnings.simplefilter("error")
torch.manual_seed(0)
films, frames, width = 200, 5, 64
rows = torch.randn(films, width).repeat_interleave(frames, 0) + 0.3 * torch.randn(films * frames, width)
images = normalize(rows, dim=-1)
texts = normalize(rows + 1.3 * torch.randn(rows.shape), dim=-1)
numbers = torch.arange(len(rows))
calculator = AccuracyCalculator(
    include=("precision_at_1", "mean_average_precision_at_r"), k=100, device=torch.device("cpu")
)
seen = []
for first in (0, 16_000_000, 123_450_000):
    ids = first + numbers
    got = calculator.get_accuracy(texts, ids, images, ids)
    seen.append((got["precision_at_1"], got["mean_average_precision_at_r"]))
    print(f"{f'first id {first}:':<19} precision at 1 {seen[-1][0]:.2f}, MAP@R {seen[-1][1]:.2f}")
    by_hand = (ids[(texts @ images.T).argmax(1)] == ids).double().mean().item()
print(f"by hand, any id:    precision at 1 {by_hand:.2f}")
small, below, long = seen
if small != below or abs(small[0] - by_hand) > 0.01 or abs(small[1] - by_hand) > 0.01:
    sys.exit("the behaviour changed")
if long[0] < by_hand + 0.1 or long[1] > by_hand - 0.1:
    sys.exit("the behaviour changed")
PY
venv/bin/python labels.py
