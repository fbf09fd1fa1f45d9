#!/usr/bin/env bash
# pytrec_eval: a document with the higher score is ranked below one with less.
#
# A competent person would guess: pytrec_eval, with which BEIR and MTEB score
# retrieval, takes a dict of Python floats and ranks by them: of two documents
# the one with the higher score stands first, and names have no say.
#
# Versions: pytrec_eval-terrier 0.5.10, Python 3.11.
#
# What happens instead: trec_eval keeps scores as single-precision floats. Two
# cosines nearer than about 6e-8 become one score, and what is equal is ranked
# by document name, the last in the alphabet first. So the measure of a query
# depends on what the documents are called, and a scorer in double precision
# does not get the ranking that it computed.
#
# Seen:
#   relevant document ahead by 1e-3: reciprocal rank 1.0
#   relevant document "a" ahead of "b" by 1e-9: reciprocal rank 0.5
#   relevant document "b" ahead of "a" by 1e-9: reciprocal rank 1.0
#   relevant document "b" behind "a" by 1e-9: reciprocal rank 1.0
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pytrec_eval-terrier==0.5.10 numpy==2.4.6

cat > rank.py <<'PY'
import sys

from pytrec_eval import RelevanceEvaluator


def reciprocal_rank(relevant, scores):
    return RelevanceEvaluator({"q": {relevant: 1}}, {"recip_rank"}).evaluate({"q": scores})["q"]["recip_rank"]


seen = [
    reciprocal_rank("a", {"a": 0.9 + 1e-3, "b": 0.9}),
    reciprocal_rank("a", {"a": 0.9 + 1e-9, "b": 0.9}),
    reciprocal_rank("b", {"a": 0.9, "b": 0.9 + 1e-9}),
    reciprocal_rank("b", {"a": 0.9 + 1e-9, "b": 0.9}),
]
print("relevant document ahead by 1e-3: reciprocal rank", seen[0])
print('relevant document "a" ahead of "b" by 1e-9: reciprocal rank', seen[1])
print('relevant document "b" ahead of "a" by 1e-9: reciprocal rank', seen[2])
print('relevant document "b" behind "a" by 1e-9: reciprocal rank', seen[3])
if seen != [1.0, 0.5, 1.0, 1.0]:
    sys.exit("the behaviour changed")
PY
venv/bin/python rank.py
