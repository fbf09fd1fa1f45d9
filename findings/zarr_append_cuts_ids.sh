#!/usr/bin/env bash
# zarr: appended ids are cut to the longest id that was there first.
#
# A competent person would guess: an array that append lets grow takes the ids
# that are appended, as np.concatenate does, or refuses those that are longer
# than its data type, as it refuses rows of another width.
#
# Versions: zarr 3.1.6, numpy 2.4.6, Python 3.11.
#
# What happens instead: ids given as a plain numpy array of strings make an
# array of fixed length, that of the longest of them. append casts what comes
# later to it, and cuts it: after img_8 and img_9, both img_10 and img_11 become
# img_1. A store of features that grows has ids twice, and each is a valid one.
# Nothing is raised; the one warning, at the start already, is that the type has
# no specification yet. With dtype=str the ids stay whole.
#
# Seen:
#   ids from a numpy array: <U5, then img_8 img_9 img_1 img_1
#   the same, dtype=str:    StringDType(), then img_8 img_9 img_10 img_11
#   rows of another width:  ValueError
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check zarr==3.1.6 numpy==2.4.6

cat > grow.py <<'PY'
import sys
import warnings

import numpy as np
import zarr

warnings.simplefilter("error")
warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)  # "no specification"
first, second = np.array(["img_8", "img_9"]), np.array(["img_10", "img_11"])
fixed = zarr.create_array("fixed.zarr", data=first)
free = zarr.create_array("free.zarr", shape=first.shape, dtype=str)
free[:] = first
fixed.append(second)
free.append(second)
try:
    zarr.create_array("features.zarr", data=np.ones((2, 4))).append(np.ones((2, 5)))
    wider = "appended"
except Exception as error:
    wider = type(error).__name__
ids = [" ".join(zarr.open_array(f"{name}.zarr", mode="r")[:].tolist()) for name in ("fixed", "free")]
print(f"ids from a numpy array: {fixed.dtype}, then {ids[0]}")
print(f"the same, dtype=str:    {free.dtype}, then {ids[1]}")
print("rows of another width: ", wider)
if ids != ["img_8 img_9 img_1 img_1", "img_8 img_9 img_10 img_11"] or wider != "ValueError":
    sys.exit("the behaviour changed")
PY
venv/bin/python grow.py
