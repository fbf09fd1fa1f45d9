#!/usr/bin/env bash
# zarr: a ZipStore that is being written is emptied when a worker unpickles it.
#
# A competent person would guess: a zarr array may be sent to worker processes
# (multiprocessing, Ray, Dask), so it can be pickled; where a store can't be
# shared, because it is a zip file open for writing, pickling says so.
#
# Versions: zarr 3.1.6 (the newest for Python 3.11), Python 3.11. (zarr 3.4.2
# refuses to open such a copy.)
#
# What happens instead: pickling works, and the copy opens the same file again
# in the mode of the first, "w", on its first use, which makes the file empty.
# The copy then reads zeros, without an error. The writer closes its file
# without an error too, and the numbers that it wrote before are no more there.
#
# Seen:
#   written: 1000 ones, file of 2 kB and more: True
#   the copy reads: 0.0 to 0.0, the file has 0 bytes
#   read again after the writer has closed: not 1000 ones
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check zarr==3.1.6 numpy==2.4.6

cat > share.py <<'PY'
import os
import pickle
import sys

import numpy as np
import zarr
from zarr.storage import ZipStore

store = ZipStore("features.zip", mode="w")
array = zarr.create_array(store, name="x", shape=(1000,), chunks=(500,), dtype="float32", compressors=None)
array[:] = 1
grown = os.path.getsize("features.zip") > 2000
print("written: 1000 ones, file of 2 kB and more:", grown)
copy = pickle.loads(pickle.dumps(array))
read = copy[:]
left = os.path.getsize("features.zip")
print(f"the copy reads: {read.min()} to {read.max()}, the file has {left} bytes")
store.close()
try:
    again = zarr.open_array(ZipStore("features.zip", mode="r"), path="x", mode="r")[:]
    whole = again.shape == (1000,) and bool((again == 1).all())
except Exception:
    whole = False
print("read again after the writer has closed:", "1000 ones" if whole else "not 1000 ones")
if not (grown and left == 0 and read.max() == 0 and not whole):
    sys.exit("the behaviour changed")
PY
venv/bin/python share.py
