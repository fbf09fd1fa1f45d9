#!/usr/bin/env bash
# zarr: rows that resize cut off are there again when the array grows.
#
# A competent person would guess: resize to fewer rows throws the others away, as
# it does with a dataset of HDF5. Rows that are added later hold the fill value
# until something is written to them; with NaN one sees which those are.
#
# Versions: zarr 3.1.6, numpy 2.4.6, Python 3.11.
#
# What happens instead: whole chunks beyond the end are removed; the chunk in
# which the new end lies keeps what it had; in a sharded array it is the whole
# shard, which may be all rows. Features that were cut off (of withdrawn images,
# of a run that is to be repeated) stay in the file and come back as valid rows,
# under whatever ids the new rows get. How many, the chunks decide. (Known
# upstream: the tracker of zarr-python has it open as issue 1017.)
#
# Seen, of 12 rows cut to 5 and grown to 12 again, with fill value NaN:
#   chunks of 1 row:   rows that are not NaN: 5
#   chunks of 4 rows:  rows that are not NaN: 8
#   the same, sharded: rows that are not NaN: 12
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check zarr==3.1.6 numpy==2.4.6

cat > resize.py <<'PY'
import sys
import warnings

import numpy as np
import zarr

warnings.simplefilter("error")


def left(name, **layout):
    array = zarr.create_array(name, shape=(12, 8), dtype="float32", fill_value=np.nan, **layout)
    array[:] = 1
    array.resize((5, 8))
    if zarr.open_array(name, mode="r").shape != (5, 8):
        sys.exit("not cut")
    array.resize((12, 8))
    return int((zarr.open_array(name, mode="r")[:] == 1).all(axis=1).sum())


seen = {
    "chunks of 1 row:": left("one.zarr", chunks=(1, 8)),
    "chunks of 4 rows:": left("four.zarr", chunks=(4, 8)),
    "the same, sharded:": left("sharded.zarr", chunks=(4, 8), shards=(12, 8)),
}
for layout, rows in seen.items():
    print(f"{layout:<18} rows that are not NaN: {rows}")
if list(seen.values()) != [5, 8, 12]:
    sys.exit("the behaviour changed")
PY
venv/bin/python resize.py
