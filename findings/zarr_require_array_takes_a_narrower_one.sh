#!/usr/bin/env bash
# zarr: labels of int64 are asked for, and are written into an old array of uint8.
#
# A competent person would guess: require_array with a shape and a type gives an array
# that can hold such numbers, a new one or the one that is there, and refuses an old one
# that can't, as require_dataset of HDF5 does. So does open_array with mode "a".
#
# Versions: zarr 3.1.6 (the newest for Python 3.11), h5py 3.16.0, numpy 2.4.6, Python 3.11.
# (zarr 3.4.2 does the same.)
#
# What happens instead: require_array asks whether the old numbers can be read as the new
# type, so that every narrower array passes, and open_array doesn't ask. What is written
# is cast to the old type: over the labels of a run with ten classes, those of a run with
# a thousand are cut to eight bits, and class 300 becomes class 44, a valid one. Features
# are rounded to the float16 of an earlier run. Nothing is raised or warned of. With
# exact=True, require_array refuses. (Known upstream for open_array: the tracker of
# zarr-python has it open as issue 2383.)
#
# Seen, of an array that is there:
#   open_array, int64 for uint8:        labels 7 300 512 999 are read as 7 44 0 231
#   open_array, float32 for float16:    features 0.1 2049 are read as 0.09998 2048
#   require_array, int64 for uint8:     labels 7 300 512 999 are read as 7 44 0 231
#   require_array, float32 for float16: features 0.1 2049 are read as 0.09998 2048
#   require_array, exact: TypeError
#   require_dataset of h5py: TypeError
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check zarr==3.1.6 h5py==3.16.0 numpy==2.4.6

cat > again.py <<'PY'
import sys
import warnings

import h5py
import numpy as np
import zarr

warnings.simplefilter("error")
labels, features = np.array([7, 300, 512, 999]), np.array([0.1, 2049], dtype="float32")
seen = []
for way in ("open_array", "require_array"):
    for what, values, old in (("labels", labels, "uint8"), ("features", features, "float16")):
        group = zarr.open_group("run.zarr", mode="a")
        group.create_array(what, shape=values.shape, dtype=old, overwrite=True)  # by an earlier run
        if way == "require_array":
            array = group.require_array(what, shape=values.shape, dtype=values.dtype)
        else:
            array = zarr.open_array(f"run.zarr/{what}", mode="a", shape=values.shape, dtype=values.dtype)
        array[:] = values
        read = zarr.open_array(f"run.zarr/{what}", mode="r")[:]
        written, kept = (" ".join(f"{value:.4g}" for value in numbers) for numbers in (values, read))
        asked = f"{way}, {values.dtype} for {old}:"
        print(f"{asked:<35} {what} {written} are read as {kept}")
        seen.append(kept)


def refused(call, *args, **settings):
    try:
        return f"{call(*args, **settings).dtype}"
    except Exception as error:
        return type(error).__name__


exact = refused(group.require_array, "labels", shape=labels.shape, dtype=labels.dtype, exact=True)
with h5py.File("run.h5", "w") as file:
    file.create_dataset("labels", shape=labels.shape, dtype="uint8")
    hdf5 = refused(file.require_dataset, "labels", shape=labels.shape, dtype=labels.dtype)
print(f"require_array, exact: {exact}")
print(f"require_dataset of h5py: {hdf5}")
if seen != ["7 44 0 231", "0.09998 2048"] * 2 or exact != "TypeError" or hdf5 != "TypeError":
    sys.exit("the behaviour changed")
PY
venv/bin/python again.py
