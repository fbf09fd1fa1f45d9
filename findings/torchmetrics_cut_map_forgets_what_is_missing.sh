#!/usr/bin/env bash
# torchmetrics: average precision at k gets better as fewer matches are found.
#
# A competent person would guess: with top_k, average precision is trec_eval's
# map_cut or Kaggle's MAP@k: the precisions at the matches among the first k, summed
# and divided by the number of matches that there are (Kaggle: by k, if there are
# more than k). A match that is not among the first k costs something.
#
# Versions: torchmetrics 1.9.0, torch 2.14.1, pytrec_eval-terrier 0.5.11, Python 3.11.
#
# What happens instead: the sum is divided by the number of matches among the first
# k, so that those that were missed are forgotten. One match in front and five far
# below are a perfect 1.0; with a second one at rank 10 it falls to 0.6. A model
# that finds less gets the higher MAP@k. Nothing is said, and without top_k it is
# the usual average precision.
#
# Seen, of 6 matches for a query, average precision at 10:
#   matches at ranks 1:     torchmetrics 1.00, trec_eval 0.17, divided by min(6, k) 0.17
#   matches at ranks 1, 10: torchmetrics 0.60, trec_eval 0.20, divided by min(6, k) 0.20
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchmetrics==1.9.0 pytrec_eval-terrier==0.5.11 \
    torch==2.14.1 numpy==2.4.6

cat > cut.py <<'PY'
import sys
import warnings

import pytrec_eval
import torch
from torchmetrics.retrieval import RetrievalMAP

warnings.simplefilter("error")
documents, matches, k, seen = 100, 6, 10, []
scores = torch.linspace(1, 0.01, documents)  # by rank
for found in ([1], [1, 10]):
    ranks = found + list(range(50, 50 + matches - len(found)))
    relevant = torch.zeros(documents, dtype=torch.bool)
    relevant[torch.tensor(ranks) - 1] = True
    ours = RetrievalMAP(top_k=k)(scores, relevant, indexes=torch.zeros(documents, dtype=torch.long)).item()
    names = [f"d{rank}" for rank in range(1, documents + 1)]
    judged = {"q": {name: int(is_match) for name, is_match in zip(names, relevant.tolist(), strict=True)}}
    run = {"q": dict(zip(names, scores.tolist(), strict=True))}
    trec = pytrec_eval.RelevanceEvaluator(judged, {f"map_cut.{k}"}).evaluate(run)["q"][f"map_cut_{k}"]
    kaggle = sum(number / rank for number, rank in enumerate(found, 1)) / min(matches, k)
    seen.append((round(ours, 2), round(trec, 2), round(kaggle, 2)))
    where = f"matches at ranks {', '.join(map(str, found))}:"
    print(f"{where:<23} torchmetrics {ours:.2f}, trec_eval {trec:.2f}, divided by min({matches}, k) {kaggle:.2f}")
if seen != [(1.0, 0.17, 0.17), (0.6, 0.2, 0.2)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python cut.py
