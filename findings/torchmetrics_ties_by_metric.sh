#!/usr/bin/env bash
# torchmetrics: of equal scores one metric says first, another third.
#
# A competent person would guess: the retrieval metrics of one library order a
# query's documents in one way, so that on the same scores R-precision, the
# reciprocal rank and nDCG are of one ranking. (Equal scores are common: binary
# and int8 features, duplicate images, bfloat16.)
#
# Versions: torchmetrics 1.8.2, torch 2.14.1, Python 3.11.
#
# What happens instead: of four documents with one score, the first of which is
# relevant, R-precision says that it stands first (1.0), the reciprocal rank and
# average precision that it stands third (1/3), and nDCG takes the mean over the
# ties (0.64). With the relevant document last in the rows, R-precision is 0 and
# the reciprocal rank 1/2: its place in the input decides, each time otherwise.
#
# Seen:
#   relevant row first: R-precision 1.00, reciprocal rank 0.33, MAP 0.33, nDCG 0.64
#   relevant row last:  R-precision 0.00, reciprocal rank 0.50, MAP 0.50, nDCG 0.64
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchmetrics==1.8.2 torch==2.14.1 numpy==2.4.6

cat > ties.py <<'PY'
import sys

import torch
from torchmetrics.retrieval import (
    RetrievalMAP,
    RetrievalMRR,
    RetrievalNormalizedDCG,
    RetrievalRPrecision,
)

scores, query = torch.full((4,), 0.5), torch.zeros(4, dtype=torch.long)
metrics = {
    "R-precision": RetrievalRPrecision(),
    "reciprocal rank": RetrievalMRR(),
    "MAP": RetrievalMAP(),
    "nDCG": RetrievalNormalizedDCG(),
}
seen = []
for place, relevant in (("first: ", [1, 0, 0, 0]), ("last:  ", [0, 0, 0, 1])):
    held = {name: float(metric(scores, torch.tensor(relevant), indexes=query)) for name, metric in metrics.items()}
    seen.append(held)
    print(f"relevant row {place.rstrip():6}", ", ".join(f"{name} {value:.2f}" for name, value in held.items()))
first, last = seen
one = first["R-precision"] == 1 and first["reciprocal rank"] < 0.5 and first["MAP"] < 0.5
other = last["R-precision"] == 0 and last["reciprocal rank"] == 0.5
if not (one and other and first["nDCG"] == last["nDCG"]):
    sys.exit("the behaviour changed")
PY
venv/bin/python ties.py
