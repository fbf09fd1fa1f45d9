#!/usr/bin/env bash
# torcheval: a model that gives NaN for everything has hit rate 1.
#
# A competent person would guess: a score that isn't a number is not a hit. A model whose
# features overflowed in float16 gives NaN, and its hit rate, reciprocal rank and accuracy
# are 0, or NaN, or at most those of chance.
#
# Versions: torcheval 0.0.7, torch 2.14.1, Python 3.11.
#
# What happens instead: the rank of the right answer is the number of scores that are
# greater than its own. Nothing is greater than NaN, so that it comes first, whatever the
# others are. hit_rate and reciprocal_rank are 1 for a model that diverged, and so is
# top-5 accuracy of zero-shot classification, beside a top-1 accuracy of chance. A query
# or two whose features are NaN are hits too, and raise the mean. Scores that are all
# equal, as those of a model that collapsed, count likewise. Nothing is raised or warned of.
#
# Seen, of 1,000 queries with 1,000 images, or 1,000 images with 1,000 classes:
#   random scores: hit rate at 1 0.00, reciprocal rank 0.01, top-1 accuracy 0.00, top-5 accuracy 0.01
#   NaN:           hit rate at 1 1.00, reciprocal rank 1.00, top-1 accuracy 0.00, top-5 accuracy 1.00
#   NaN, own only: hit rate at 1 1.00, reciprocal rank 1.00, top-1 accuracy 1.00, top-5 accuracy 1.00
#   all equal:     hit rate at 1 1.00, reciprocal rank 1.00, top-1 accuracy 0.00, top-5 accuracy 1.00
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torcheval==0.0.7 torch==2.14.1 numpy==2.4.6

cat > nan.py <<'PY'
import sys

import torch
from torcheval.metrics.functional import hit_rate, multiclass_accuracy, reciprocal_rank

torch.manual_seed(0)
count = 1000
right = torch.arange(count)
random = torch.rand(count, count)
scores = {
    "random scores": random,
    "NaN": torch.full((count, count), float("nan")),
    "NaN, own only": random.clone().fill_diagonal_(float("nan")),
    "all equal": torch.ones(count, count),
}
seen = {}
for name, values in scores.items():
    seen[name] = [
        hit_rate(values, right, k=1).mean().item(),
        reciprocal_rank(values, right).mean().item(),
        multiclass_accuracy(values, right, num_classes=count).item(),
        multiclass_accuracy(values, right, num_classes=count, k=5).item(),
    ]
    hits, rank, top_1, top_5 = seen[name]
    line = f"hit rate at 1 {hits:.2f}, reciprocal rank {rank:.2f}"
    print(f"{name + ':':<14} {line}, top-1 accuracy {top_1:.2f}, top-5 accuracy {top_5:.2f}")
chance = 1 / count
if max(seen["random scores"]) > 0.02 or seen["NaN, own only"] != [1, 1, 1, 1]:
    sys.exit("the behaviour changed")
for hits, rank, top_1, top_5 in (seen["NaN"], seen["all equal"]):
    if (hits, rank, top_5) != (1, 1, 1) or abs(top_1 - chance) > 1e-6:
        sys.exit("the behaviour changed")
PY
venv/bin/python nan.py
