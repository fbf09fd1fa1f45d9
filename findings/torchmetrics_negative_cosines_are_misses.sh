#!/usr/bin/env bash
# torchmetrics: a match that is ranked first is a miss if its cosine is negative.
#
# A competent person would guess: average precision, reciprocal rank, recall and
# precision of a ranking ask for the order of the scores alone. Cosines go from
# -1 to 1, and SigLIP's logits or distances with a minus lie below 0; subtracting
# a number from all scores changes no rank and so no metric.
#
# Versions: torchmetrics 1.9.0, torch 2.14.1, Python 3.11. (torchmetrics 1.7.1
# gives 1.00 for all of these, 1.7.4 no longer does.)
#
# What happens instead: a relevant document with a score of 0 or less counts as
# not relevant, wherever it stands. With every match before everything else, all
# four are 1 for scores above 0 and fall to 0 as the same scores are moved below;
# nDCG and the hit rate of the same library stay at 1. Nothing is raised or warned
# of. (Meant so upstream: see pull request 3104 of torchmetrics.)
#
# Seen, of one ranking:
#   scores 0.9 to 0.1:   MAP 1.00, MRR 1.00, recall@2 1.00, precision@2 1.00, nDCG 1.00, hit rate@2 1.00
#   the same minus 0.8:  MAP 1.00, MRR 1.00, recall@2 0.50, precision@2 0.50, nDCG 1.00, hit rate@2 1.00
#   the same minus 1:    MAP 0.00, MRR 0.00, recall@2 0.00, precision@2 0.00, nDCG 1.00, hit rate@2 1.00
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6

cat > negative.py <<'PY'
import sys
import warnings

import torch
from torchmetrics import retrieval

warnings.simplefilter("error")
scores = torch.tensor([0.9, 0.7, 0.5, 0.3, 0.1])  # of one query's documents, the two matches first
matches = torch.tensor([True, True, False, False, False])
query = torch.zeros(5, dtype=torch.long)
metrics = {
    "MAP": retrieval.RetrievalMAP(),
    "MRR": retrieval.RetrievalMRR(),
    "recall@2": retrieval.RetrievalRecall(top_k=2),
    "precision@2": retrieval.RetrievalPrecision(top_k=2),
    "nDCG": retrieval.RetrievalNormalizedDCG(),
    "hit rate@2": retrieval.RetrievalHitRate(top_k=2),
}
seen = []
for name, less in (("scores 0.9 to 0.1:", 0.0), ("the same minus 0.8:", 0.8), ("the same minus 1:", 1.0)):
    seen.append([round(metric(scores - less, matches, indexes=query).item(), 2) for metric in metrics.values()])
    print(f"{name:<20}", ", ".join(f"{metric} {value:.2f}" for metric, value in zip(metrics, seen[-1], strict=True)))
if seen != [[1.0] * 6, [1.0, 1.0, 0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]]:
    sys.exit("the behaviour changed")
PY
venv/bin/python negative.py
