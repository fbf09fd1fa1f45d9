#!/usr/bin/env bash
# scikit-learn: logistic regression on small features stops before it starts.
#
# A competent person would guess: features times s with C / s² are the same
# problem, so that the classifier is the same. If the solver has not reached its
# solution, a ConvergenceWarning says so.
#
# Versions: scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: lbfgs, the default, stops when the largest entry of the
# gradient is below 0.0001, and the gradient is as small as the features are. Small
# ones (differences of near features, what is left after a mean or components are
# taken out, output of a network that was initialised small) meet that at the first
# step: the coefficients are 0, the accuracy is that of guessing, and two clouds
# that a line parts look like one. It counts as converged: no warning. A `tol` that
# is scaled along, or the solver newton-cholesky, finds the line at every scale.
#
# Seen, accuracy on held-out rows of two classes, C / s²:
#   features times 1:      lbfgs 0.96, newton-cholesky 0.96, lbfgs with tol times s 0.96
#   features times 0.01:   lbfgs 0.97, newton-cholesky 0.96, lbfgs with tol times s 0.96
#   features times 0.0001: lbfgs 0.50, newton-cholesky 0.96, lbfgs with tol times s 0.96
#   iterations of lbfgs at 0.0001: 0
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

cat > scales.py <<'PY'
import sys
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

warnings.simplefilter("error")  # a ConvergenceWarning would stop the script
rows, half = 2000, 1000
labels = np.tile([0, 1], rows // 2)
features = np.random.default_rng(0).standard_normal((rows, 64)) + 0.5 * labels[:, None]
seen = []
for scale in (1, 0.01, 0.0001):
    accuracy, scaled = [], features * scale
    for settings in ({}, {"solver": "newton-cholesky"}, {"tol": 1e-4 * scale}):
        model = LogisticRegression(C=1 / scale**2, max_iter=1000, **settings).fit(scaled[:half], labels[:half])
        accuracy.append(model.score(scaled[half:], labels[half:]))
        if not settings:
            steps = int(model.n_iter_[0])
    seen.append([value > 0.95 for value in accuracy])
    where = f"features times {scale:g}:"
    said = "{:.2f}, newton-cholesky {:.2f}, lbfgs with tol times s {:.2f}".format(*accuracy)
    print(f"{where:<22} lbfgs {said}")
print("iterations of lbfgs at 0.0001:", steps)
if seen != [[True] * 3, [True] * 3, [False, True, True]] or accuracy[0] != 0.5 or steps:
    sys.exit("the behaviour changed")
PY
venv/bin/python scales.py
