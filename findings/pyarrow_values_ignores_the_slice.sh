#!/usr/bin/env bash
# pyarrow: .values of a slice of vectors holds the vectors of all rows.
#
# A competent person would guess: a column of vectors (a list of fixed size, as
# parquet and Lance tables keep features) gives its numbers with .values, as a
# pandas column does; of rows 2 and 3 of a table, those of rows 2 and 3.
#
# Versions: pyarrow 22.0.0, Python 3.11.
#
# What happens instead: .values is the array below, which a slice does not
# touch. Reshaped to (rows, width), its first rows are rows 0 and 1, of right
# shape and kind: ids and features no longer match. flatten() heeds the slice,
# but leaves out rows that are null, so that its rows no longer match either.
#
# Seen:
#   ids of the slice: c d
#   .values:   0 1 2 3 4 5 6 7 8 9 10 11
#   flatten(): 4 5 6 7
#   flatten() of rows a b c, b null: 0 1 4 5
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pyarrow==22.0.0 numpy==2.4.6

cat > slices.py <<'PY'
import sys

import numpy as np
import pyarrow as pa

vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(12.0)), 2)
table = pa.table({"id": list("abcdef"), "features": vectors})
part = table.slice(2, 2)
column = part["features"].chunk(0)
rows = [[0.0, 1.0], None, [4.0, 5.0]]
holes = pa.array(rows, type=pa.list_(pa.float64(), 2))
said = lambda array: " ".join(f"{value:g}" for value in array.to_pylist())
seen = said(column.values), said(column.flatten()), said(holes.flatten())
print("ids of the slice:", *part["id"].to_pylist())
print(".values:  ", seen[0])
print("flatten():", seen[1])
print("flatten() of rows a b c, b null:", seen[2])
if seen != ("0 1 2 3 4 5 6 7 8 9 10 11", "4 5 6 7", "0 1 4 5"):
    sys.exit("the behaviour changed")
PY
venv/bin/python slices.py
