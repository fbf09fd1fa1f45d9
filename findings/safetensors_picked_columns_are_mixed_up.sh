#!/usr/bin/env bash
# safetensors: features of which some columns were picked are read back mixed up.
#
# A competent person would guess: save_file of safetensors.numpy writes an array so
# that load_file gives an equal one, in whatever order its numbers lie in memory, as
# np.save does; or it refuses such an array, as the tensors of torch are refused.
#
# Versions: safetensors 0.8.0 and 0.7.0, numpy 2.4.6, Python 3.11.
#
# What happens instead: 0.8.0 writes the memory as it lies, and the shape beside it.
# numpy lays features[:, columns] out column by column (as it does a transposed
# array, and many results of linear algebra). Of such an array shape, type, mean
# and every single number are right, and each row holds numbers of other rows.
# Nothing is raised or warned of. 0.7.0 wrote it well. (Known upstream: the tracker
# of safetensors has it open as issue 825.)
#
# Seen, cosine of a row that was saved and the row that is read, on average:
#   safetensors 0.7.0: all columns 1.0, picked columns 1.0, picked and copied 1.0
#   safetensors 0.8.0: all columns 1.0, picked columns 0.0, picked and copied 1.0
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

cat > columns.py <<'PY'
import sys
import warnings

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

warnings.simplefilter("error")
features = np.random.default_rng(0).standard_normal((1000, 64)).astype("float32")
columns = np.argsort(-features.var(axis=0))[:32]  # those that vary most
picked = features[:, columns]
seen = []
for saved in (features, picked, np.ascontiguousarray(picked)):
    save_file({"features": saved}, "features.safetensors")
    read = load_file("features.safetensors")["features"]
    same = read.shape == saved.shape and read.dtype == saved.dtype
    if not (same and np.array_equal(np.sort(read, axis=None), np.sort(saved, axis=None))):
        sys.exit("not the same numbers in another order")
    cosines = (read * saved).sum(axis=1) / np.linalg.norm(read, axis=1) / np.linalg.norm(saved, axis=1)
    seen.append(f"{abs(cosines.mean()):.1f}")
print(f"safetensors {safetensors.__version__}: ", end="")
print("all columns {}, picked columns {}, picked and copied {}".format(*seen))
if seen != ["1.0", sys.argv[1], "1.0"]:
    sys.exit("the behaviour changed")
PY
for case in "0.7.0 1.0" "0.8.0 0.0"; do
    read -r version cosine <<< "$case"
    python3 -m venv "$version"
    "$version/bin/pip" install -q --disable-pip-version-check "safetensors==$version" numpy==2.4.6
    "$version/bin/python" columns.py "$cosine"
done
