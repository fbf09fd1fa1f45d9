#!/usr/bin/env bash
# statsmodels: one comparison without a p-value takes the others' away, or their stars.
#
# A competent person would guess: multipletests corrects the p-values that there are. A model
# without texts, or a task without a query that has a match, has a NaN in the table; it is
# no test, so the others are corrected as without it, as R's p.adjust does, or the NaN is
# refused, as scipy.stats.false_discovery_control does.
#
# Versions: statsmodels 0.15.0, pingouin 0.7.0, scipy 1.17.1, numpy 2.4.6, pandas 3.1.1,
# Python 3.11.
#
# What happens instead: by "fdr_bh" all corrected p-values are NaN, though the marks beside
# them are there; by "hommel" the marks are gone as well. By "holm" the NaN counts as a test:
# what was significant among three is not among four. Nothing is raised or warned of.
# pingouin, whose multicomp has the same methods, leaves the NaN out.
#
# Seen, of p = 0.001, 0.012, 0.03 and of these with a NaN, significant at 0.05:
#   holm:   without 0.003 0.024 0.030, 3 of 3; with a NaN 0.004 0.036 0.060, 2 of 3
#   fdr_bh: without 0.003 0.018 0.030, 3 of 3; with a NaN nan nan nan, 3 of 3
#   hommel: without 0.003 0.024 0.030, 3 of 3; with a NaN nan nan nan, 0 of 3
#   pingouin, holm: with a NaN 0.003 0.024 0.030, 3 of 3
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check statsmodels==0.15.0 pingouin==0.7.0 \
    scipy==1.17.1 numpy==2.4.6 pandas==3.1.1

cat > missing.py <<'PY'
import sys

import numpy as np
from pingouin import multicomp
from statsmodels.stats.multitest import multipletests

given = np.array([0.001, 0.012, 0.03])
there = np.append(given, np.nan)


def said(marks, values):
    return f"{' '.join(f'{value:.3f}' for value in values[:3])}, {int(np.sum(marks[:3]))} of 3"


seen = {}
for method in ("holm", "fdr_bh", "hommel"):
    without, beside = (said(*multipletests(values, method=method)[:2]) for values in (given, there))
    seen[method] = without, beside
    print(f"{method + ':':<7} without {without}; with a NaN {beside}")
left_out = said(*multicomp(there, method="holm"))
print(f"pingouin, holm: with a NaN {left_out}")
expected = {
    "holm": ("0.003 0.024 0.030, 3 of 3", "0.004 0.036 0.060, 2 of 3"),
    "fdr_bh": ("0.003 0.018 0.030, 3 of 3", "nan nan nan, 3 of 3"),
    "hommel": ("0.003 0.024 0.030, 3 of 3", "nan nan nan, 0 of 3"),
}
if seen != expected or left_out != expected["holm"][0]:
    sys.exit("the behaviour changed")
PY
venv/bin/python missing.py
