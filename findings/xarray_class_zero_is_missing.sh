#!/usr/bin/env bash
# xarray and zarr: class 0 is missing from labels that zarr wrote.
#
# A competent person would guess: zarr and xarray read one format, so that a
# column of integers that zarr wrote is the same column to xarray. The fill value
# of a zarr array stands for chunks that were never written, and nothing else.
#
# Versions: xarray 2026.9.0, zarr 3.1.6, numpy 2.4.6, Python 3.11.
#
# What happens instead: in format 2, xarray takes the fill value for the mark of
# a missing number, and zarr gives every array one that nobody asked for, 0. All
# zeros are read as NaN, and the integers become floats: means and counts by class
# leave class 0 out, a score of exactly 0.0 is left out of the average. Nothing
# is raised or warned of. xarray does not do it to format 3, nor to arrays of its
# own, which it writes without a fill value.
#
# Seen:
#   format 2: labels 0 1 2 0 1 2 are read as nan 1 2 nan 1 2; classes counted 1 2; mean of scores 0.75
#   format 3: labels 0 1 2 0 1 2 are read as 0 1 2 0 1 2; classes counted 0 1 2; mean of scores 0.50
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 pandas==3.1.1

cat > labels.py <<'PY'
import sys
import warnings

import numpy as np
import xarray
import zarr

warnings.simplefilter("error")
labels, scores = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 0.5, 1, 0, 0.5, 1])
seen = []
for layout in (2, 3):
    group = zarr.create_group(f"{layout}.zarr", zarr_format=layout)
    for name, column in (("label", labels), ("score", scores)):
        # how each format tells xarray what a dimension is called
        named = {"dimension_names": ["row"]} if layout == 3 else {"attributes": {"_ARRAY_DIMENSIONS": ["row"]}}
        group.create_array(name, data=column, **named)
    if (group["label"][:] != labels).any() or (group["score"][:] != scores).any():
        sys.exit("zarr itself does not read what was written")
    read = xarray.open_zarr(f"{layout}.zarr", consolidated=False)
    said = " ".join(f"{label:g}" for label in read.label.values)
    counted = " ".join(f"{label:g}" for label, _ in read.score.groupby(read.label))
    seen.append((said, counted, round(float(read.score.mean()), 2)))
    print(f"format {layout}: labels {' '.join(map(str, labels))} are read as {said}; ", end="")
    print(f"classes counted {counted}; mean of scores {seen[-1][2]:.2f}")
if seen != [("nan 1 2 nan 1 2", "1 2", 0.75), ("0 1 2 0 1 2", "0 1 2", 0.5)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python labels.py
