#!/usr/bin/env bash
# Hugging Face datasets: the numpy format changes integers and halves floats.
#
# A competent person would guess: with_format("numpy") hands out what the Arrow
# table holds, so that a column of uint64 keys (hashes of images, say) comes out
# as uint64 and one of float64 as float64. The table's features say so.
#
# Versions: datasets 5.2.0, numpy 2.4.6, Python 3.11.
#
# What happens instead: every integer becomes int64, keys of 2**63 and more
# become negative numbers, and every float becomes float32. Nothing is raised or
# warned of. Without the format, the same rows have the right values.
#
# Seen:
#   features: key uint64, weight float64
#   plain:    key 9223372036854775813, weight 0.1
#   numpy:    key -9223372036854775803 (int64), weight 0.10000000149011612 (float32)
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check datasets==5.2.0 numpy==2.4.6
export HF_HOME="$tmp/hub" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > formats.py <<'PY'
import sys

import numpy as np
from datasets import Dataset

key = 2**63 + 5
rows = Dataset.from_dict({"key": np.array([key, 1], "uint64"), "weight": np.array([0.1, 0.2])})
print("features:", ", ".join(f"{name} {kind.dtype}" for name, kind in rows.features.items()))
plain = rows[0]
print(f"plain:    key {plain['key']}, weight {plain['weight']}")
held = rows.with_format("numpy")[:]
keys, weights = held["key"], held["weight"]
print(f"numpy:    key {keys[0]} ({keys.dtype}), weight {float(weights[0])} ({weights.dtype})")
right = plain == {"key": key, "weight": 0.1}
if not (right and keys.dtype == np.int64 and keys[0] == key - 2**64 and weights.dtype == np.float32):
    sys.exit("the behaviour changed")
PY
venv/bin/python formats.py
