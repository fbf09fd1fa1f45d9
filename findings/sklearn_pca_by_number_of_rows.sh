#!/usr/bin/env bash
# scikit-learn: with one row more, PCA whitens the same features to other scales.
#
# A competent person would guess: PCA without settings is one computation, exact
# up to the rounding of float32. More rows make its components better known, and
# whitened features have variance 1 in each component.
#
# Versions: scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: from ten rows a column on (with up to 1000 columns), the
# singular values of the centred rows give way to the eigenvalues of X'X from which
# the outer product of the mean is taken away, in the kind of the input. In float32
# the mean swallows small variances, and features of CLIP have a large mean: all
# lie in a narrow cone. Components get a variance that is too small, or 0 where it
# was negative, and whitening divides by it: their columns are millions of times
# too large, and decide alone who is whose neighbour. Nothing is warned of. The
# manual says that this solver, by name, works "on centered data".
#
# Seen, of unit rows with 512 columns in a cone, their own neighbour left out:
#   5119 rows, float32: largest variance 1.0, nearest neighbours that change: none
#   5120 rows, float32: largest variance above 1000, nearest neighbours that change: most
#   5120 rows, float64: largest variance 1.0, nearest neighbours that change: none
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

cat > rows.py <<'PY'
import sys
import warnings

import numpy as np
from sklearn.decomposition import PCA

warnings.simplefilter("error")
width, most, seen = 512, 5120, []
rng = np.random.default_rng(0)
unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)
turned = np.linalg.qr(rng.standard_normal((width, width)))[0]
spread = unit(rng.standard_normal((most, width)) * np.geomspace(1, 1e-3, width) @ turned)
features = unit(0.5 * spread + 0.8 * unit(rng.standard_normal((1, width)))).astype("float32")


def nearest(rows):
    scores = unit(rows[:500].astype("float64")) @ unit(rows.astype("float64")).T
    scores[np.arange(500), np.arange(500)] = -2
    return scores.argmax(axis=1)


for count, kind in ((most - 1, "float32"), (most, "float32"), (most, "float64")):
    rows = features[:count].astype(kind)
    whitened = PCA(whiten=True).fit_transform(rows)
    exact = PCA(whiten=True, svd_solver="full").fit_transform(rows.astype("float64"))
    largest = whitened.var(axis=0).max()
    changed = (nearest(whitened) != nearest(exact)).mean()
    seen.append((largest > 1000, "most" if changed > 0.5 else "some" if changed else "none"))
    said = "above 1000" if seen[-1][0] else f"{largest:.1f}"
    print(f"{count} rows, {kind}: largest variance {said}, nearest neighbours that change: {seen[-1][1]}")
if seen != [(False, "none"), (True, "most"), (False, "none")]:
    sys.exit("the behaviour changed")
PY
venv/bin/python rows.py
