#!/usr/bin/env bash
# scikit-learn: normalize makes zeros of float16 features longer than 255.
#
# A competent person would guess: normalize divides each row by its length. Of
# features stored in float16, all finite, come rows of length 1.
#
# Versions: scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: float16 is one of the kinds that it leaves as they are, and
# the square of the length is kept in it: above 65504 it is infinite, and a row
# divided by infinity is 0. So a length of 256, which features before a
# projection reach, gives a row of zeros: cosine 0 to all others, and the first row
# as its neighbour. numpy's norm says "overflow encountered" of the same rows; here
# nothing is raised or warned of. Squares below float16's smallest numbers go wrong
# the same way: a row as short as 0.0001 is left as it is, for its length is taken
# for 0. cosine_similarity, of the same library, computes in float64.
#
# Seen, of rows of float16 with 768 columns:
#   length 0.0001: normalize 0.0001, cosine_similarity with itself 1.0
#   length 1:      normalize 1.0000, cosine_similarity with itself 1.0
#   length 255:    normalize 1.0000, cosine_similarity with itself 1.0
#   length 257:    normalize 0.0000, cosine_similarity with itself 1.0
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

cat > lengths.py <<'PY'
import sys
import warnings

import numpy as np
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize

warnings.simplefilter("error")
rows = np.random.default_rng(0).standard_normal((5, 768))
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
length = lambda rows: np.linalg.norm(np.asarray(rows).astype("float64"), axis=1).mean()
seen = []
for wanted in (0.0001, 1, 255, 257):
    features = (rows * wanted).astype("float16")
    if not np.isfinite(features).all() or abs(length(features) / wanted - 1) > 0.01:
        sys.exit("the rows are not what was to be normalised")
    ours = length(normalize(features))
    cosine = np.diag(cosine_similarity(features)).mean()
    seen.append((round(ours, 4), round(cosine, 1)))
    where = f"length {wanted}:"
    print(f"{where:<14} normalize {ours:.4f}, cosine_similarity with itself {cosine:.1f}")
if seen != [(0.0001, 1), (1, 1), (1, 1), (0, 1)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python lengths.py
