#!/usr/bin/env bash
# numba: the mean of many float32 numbers is wrong, and differs by threads.
#
# A competent person would guess: numba compiles numpy's functions, so that
# np.mean of an array within @njit is np.mean of it, up to the last digits.
# Similarities in float32 are no special case of that.
#
# Versions: numba 0.68.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: numba adds float32 up in float32, one number after the
# other, where numpy adds halves of halves. From 2**24 = 16,777,216 on, adding 1
# changes nothing more: the mean cosine of 6,000 equal vectors, 36 million pairs,
# is 0.466. Of 4,000 other vectors the second digit is wrong. In parallel each
# thread's part is added up so, and the mean depends on how many threads there
# are. (Known upstream: the tracker of numba has it open as issue 2855.)
#
# Seen:
#   mean of 6000 x 6000 ones: numpy 1.000, numba 0.466, 2 threads 0.932, 4 threads 1.000
#   mean of 4000 x 4000 cosines: exact 0.300, numpy 0.300, numba 0.292
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check numba==0.68.1 numpy==2.4.6
export NUMBA_NUM_THREADS=4

cat > means.py <<'PY'
import sys

import numba
import numpy as np


def mean(cosines):
    return np.mean(cosines)


def mean_in_parallel(cosines):
    return np.sum(cosines) / cosines.size


compiled, parallel = numba.njit(mean), numba.njit(parallel=True)(mean_in_parallel)
ones = np.ones((6000, 6000), np.float32)
seen = {"numpy": mean(ones), "numba": compiled(ones)}
for threads in (2, 4):
    numba.set_num_threads(threads)
    seen[f"{threads} threads"] = parallel(ones)
seen = {name: f"{value:.3f}" for name, value in seen.items()}
print("mean of 6000 x 6000 ones:", ", ".join(f"{name} {value}" for name, value in seen.items()))
cosines = np.random.default_rng(0).normal(0.3, 0.05, (4000, 4000)).astype(np.float32)
means = {"exact": cosines.mean(dtype=np.float64), "numpy": mean(cosines), "numba": compiled(cosines)}
means = {name: f"{value:.3f}" for name, value in means.items()}
print("mean of 4000 x 4000 cosines:", ", ".join(f"{name} {value}" for name, value in means.items()))
if list(seen.values()) != ["1.000", "0.466", "0.932", "1.000"] or list(means.values()) != ["0.300", "0.300", "0.292"]:
    sys.exit("the behaviour changed")
PY
venv/bin/python means.py
