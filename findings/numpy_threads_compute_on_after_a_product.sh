#!/usr/bin/env bash
# NumPy: after a matrix product has returned, its threads keep the other cores busy for a while.
#
# A competent person would guess: when a @ b has returned, nobody computes. What comes next, be
# it the program's own threads (numba, a pool that counts ranks of a tile of similarities) or
# another process, has the cores for itself; and the processor time of a program that goes on
# with waiting does not grow.
#
# Versions: numpy 2.4.6 with its own OpenBLAS 0.3.31, Linux, two cores or more.
#
# What happens instead: OpenBLAS' threads wait for the next product by spinning, 2^28 cycles of
# the processor's clock, which was 0.1 s. So tiles that are multiplied by NumPy and then counted by
# other threads have these share their cores with threads that do nothing: each tile pays for
# it, and of evaluations whose product and counting take turns a tenth went there. The variable
# OPENBLAS_THREAD_TIMEOUT, the logarithm of the cycles, from 4 to 30, ends that; it is read as
# NumPy is loaded, so setting os.environ afterwards changes nothing.
#
# Seen, processor time during 40 pauses of 50 ms, each after a product of 512 × 512:
#   as it is:                         2.02 s of 2.00, on two cores
#   OPENBLAS_THREAD_TIMEOUT=4:        0.00 s
#   the same, set after import numpy: 2.00 s
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check numpy==2.4.6
cat > seen.py <<'PY'
import os
import sys
import time

import numpy as np

if sys.argv[1:]:
    os.environ["OPENBLAS_THREAD_TIMEOUT"] = sys.argv[1]
a = np.ones((512, 512), np.float32)
a @ a
spent = 0.0
for _ in range(40):
    a @ a
    before = time.process_time()
    time.sleep(0.05)
    spent += time.process_time() - before
print(f"{spent:.2f}")
PY
unset OMP_NUM_THREADS OPENBLAS_NUM_THREADS OPENBLAS_THREAD_TIMEOUT
asis=$(venv/bin/python seen.py)
soon=$(OPENBLAS_THREAD_TIMEOUT=4 venv/bin/python seen.py)
late=$(venv/bin/python seen.py 4)
echo "as it is:                         $asis s"
echo "OPENBLAS_THREAD_TIMEOUT=4:        $soon s"
echo "the same, set after import numpy: $late s"
venv/bin/python -c "assert $asis > 0.1 and $late > 0.1 and $soon < 0.1"
