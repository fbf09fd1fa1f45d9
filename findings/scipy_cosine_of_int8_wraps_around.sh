#!/usr/bin/env bash
# SciPy: two nearly equal features in int8 have the cosine distance 2, or 0, or any.
#
# A competent person would guess: scipy.spatial.distance.cosine(u, v) is the entry of
# cdist([u], [v], "cosine"), whatever type the numbers have. Features that were quantised to
# int8, as vector stores keep them, have a cosine like others.
#
# Versions: scipy 1.17.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: cdist makes float64 of what it is given, and so do euclidean and
# sqeuclidean beside it. cosine multiplies and adds in the type that it is given. Sums of int8
# wrap around at 128, so eight bits are left of 512 products, and what is made of them is cut
# to between 0 and 2. About half of the pairs raise, as a wrapped sum of squares is below 0; the
# others get a distance that says nothing. Of the sums nothing is said; where the product of two
# of them overflows too, NumPy warns, once. Of int16 it is the same. Of uint8 none raises, and
# most distances are 0, which says that any two features are equal.
#
# Seen, of 1000 pairs of features of width 512; alike ones differ by a little noise, others
# are drawn independently; medians of what was not raised:
#   int8:  alike cosine 0.811, cdist 0.042, others cosine 2.000, cdist 0.998, raised 527 and 492
#   int16: alike cosine 2.000, cdist 0.042, others cosine 2.000, cdist 0.998, raised 475 and 514
#   uint8: alike cosine 0.000, cdist 0.003, others cosine 0.000, cdist 0.059, raised 0 and 0
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check scipy==1.17.1 numpy==2.4.6

cat > wrapped.py <<'PY'
import sys

import numpy as np
from scipy.spatial.distance import cdist, cosine

random = np.random.default_rng(0)
features = random.normal(size=(1000, 512))
pairs = {
    "alike": features + 0.3 * random.normal(size=features.shape),
    "others": random.normal(size=features.shape),
}


def quantised(rows, kind):
    whole = np.rint(np.clip(32 * rows, -127, 127)).astype(int)
    return (whole + 128 * (kind == "uint8")).astype(kind)


def one_by_one(rows, others):
    found, raised = [], 0
    for row, other in zip(rows, others):
        try:
            found.append(cosine(row, other))
        except (ValueError, ZeroDivisionError):
            raised += 1
    return float(np.median(found)), raised


seen = {}
for kind in ("int8", "int16", "uint8"):
    first = quantised(features, kind)
    for name, rows in pairs.items():
        second = quantised(rows, kind)
        one, raised = one_by_one(first, second)
        together = np.median([cdist(row[None], other[None], "cosine")[0, 0] for row, other in zip(first, second)])
        seen[kind, name] = one, float(together), raised
    alike, others = seen[kind, "alike"], seen[kind, "others"]
    print(
        f"{kind + ':':<6} alike cosine {alike[0]:.3f}, cdist {alike[1]:.3f}, others cosine {others[0]:.3f}, "
        f"cdist {others[1]:.3f}, raised {alike[2]} and {others[2]}"
    )
wrong = [abs(one - together) > 0.5 for (kind, _), (one, together, _) in seen.items() if kind != "uint8"]
flat = [one < 0.001 < together and not raised for (kind, _), (one, together, raised) in seen.items() if kind == "uint8"]
if not all(wrong + flat):
    sys.exit("the behaviour changed")
PY
venv/bin/python wrapped.py
