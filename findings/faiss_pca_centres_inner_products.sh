#!/usr/bin/env bash
# faiss: a PCA that keeps all columns changes which image has the highest cosine.
#
# A competent person would guess: "PCA64,Flat" of 64 columns is a rotation and an exact
# search. Distances and inner products stay what they are, and so does what is found.
# With fewer columns a little is lost, what the columns of least variance tell.
#
# Versions: faiss-cpu 1.15.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: the mean of the rows it was trained with is taken off rows and
# queries. No distance changes by that, but every inner product does: images are ranked
# by another score, and the score of an image with itself is no longer 1. Features of CLIP
# have a large mean, as they lie in a narrow cone, and texts lie in another one than the
# images, so much of what ranks is the mean. Nothing is raised or warned of. A random
# rotation ("RR64") keeps inner products, and a PCA keeps what is found by distance.
# (Known upstream: poor recall with a PCA is open as issue 2636 of faiss.)
#
# Seen, the share of 2,000 texts that find their image first, and an image's score with
# itself:
#   inner product, Flat:       0.99, itself 1.00
#   inner product, RR64,Flat:  0.99, itself 1.00
#   inner product, PCA64,Flat: 0.67, itself 0.78
#   distance, Flat:            0.99, itself 0.00
#   distance, RR64,Flat:       0.99, itself 0.00
#   distance, PCA64,Flat:      0.99, itself 0.00
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6

cat > search.py <<'PY'
import sys

import faiss
import numpy as np

pairs, width = 2000, 64
random = np.random.default_rng(0)
scale = np.linspace(2, 0.3, width)
cone = np.zeros(width)
cone[:2] = 4, 2  # the direction around which images lie


def normalised(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("float32")


shown = random.standard_normal((pairs, width))
said = shown + 0.5 * random.standard_normal((pairs, width))
images, texts = normalised(shown * scale + cone), normalised(said * scale - cone)
seen = []
for metric, kind in (("inner product", faiss.METRIC_INNER_PRODUCT), ("distance", faiss.METRIC_L2)):
    for recipe in ("Flat", "RR64,Flat", "PCA64,Flat"):
        index = faiss.index_factory(width, recipe, kind)
        index.train(images)
        index.add(images)
        found = (index.search(texts, 1)[1][:, 0] == np.arange(pairs)).mean()
        scores, rows = index.search(images[:1], pairs)
        itself = scores[rows == 0][0]
        print(f"{f'{metric}, {recipe}:':<26} {found:.2f}, itself {abs(itself):.2f}")
        seen.append((found, itself))
right, other = seen[0], seen[2]
same = [seen[1], seen[3], seen[4], seen[5]]
if right[0] < 0.95 or any(abs(found - right[0]) > 0.01 for found, _ in same):
    sys.exit("the behaviour changed")
if abs(right[1] - 1) > 1e-3 or abs(seen[1][1] - 1) > 1e-3 or other[0] > 0.8 or other[1] > 0.9:
    sys.exit("the behaviour changed")
PY
venv/bin/python search.py
