#!/usr/bin/env bash
# sentence-transformers: its search finds nothing in its own int8 embeddings.
#
# A competent person would guess: embeddings made int8 by quantize_embeddings and
# given to semantic_search of the same library are scored by sums that are wide
# enough for products of int8; or they are refused, as cos_sim refuses them.
#
# Versions: sentence-transformers 6.2.0, torch 2.14.1, Python 3.11.
#
# What happens instead: dot_score multiplies int8 by int8 into int8 (as torch does).
# Sums of hundreds of products wrap around at 127, what is left over is returned as
# the score, and the hits are as good as drawn by lot. Nothing is raised or warned
# of. The same numbers as int32 find every image.
#
# Seen, of 1000 captions, each next to its image, in 512 dimensions:
#   float32:                recall@1 1.00
#   int8:                   recall@1 0.00, scores from -128 to 127
#   the same int8 as int32: recall@1 1.00
#   cos_sim of int8:        RuntimeError
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check sentence-transformers==6.2.0 transformers==5.24.0 \
    torch==2.14.1 numpy==2.4.6
export HF_HOME="$tmp/hub" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > search.py <<'PY'
import sys
import warnings

import numpy as np
import torch
from sentence_transformers import quantize_embeddings, util

generator = np.random.default_rng(0)
images = generator.normal(size=(1000, 512)).astype("float32")
captions = images + 0.5 * generator.normal(size=images.shape).astype("float32")
images, captions = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, captions))
ranges = np.stack([images.min(axis=0), images.max(axis=0)])  # one scale for both
small = [torch.from_numpy(quantize_embeddings(rows, "int8", ranges=ranges)) for rows in (captions, images)]
warnings.simplefilter("error")


def search(queries, corpus):
    hits = util.semantic_search(queries, corpus, top_k=1, score_function=util.dot_score)
    return sum(hit[0]["corpus_id"] == row for row, hit in enumerate(hits)) / len(hits)


scores = util.dot_score(*small)
try:
    util.cos_sim(*small)
    refused = "scored"
except Exception as error:
    refused = type(error).__name__
full = search(torch.from_numpy(captions), torch.from_numpy(images))
overflown, wide = search(*small), search(*(rows.int() for rows in small))
print(f"float32:                recall@1 {full:.2f}")
print(f"int8:                   recall@1 {overflown:.2f}, scores from {scores.min()} to {scores.max()}")
print(f"the same int8 as int32: recall@1 {wide:.2f}")
print(f"cos_sim of int8:        {refused}")
if not (full > 0.95 and overflown < 0.05 and wide > 0.95 and refused == "RuntimeError"):
    sys.exit("the behaviour changed")
PY
venv/bin/python search.py
