#!/usr/bin/env bash
# numpy: of float16 features the mean is right, and std and nanmean are far off.
#
# A competent person would guess: std is the root of the mean square distance from
# mean, and nanmean is mean without the NaNs. Where mean is right, so are these, or
# there is a warning, as numpy gives one of sums that overflow.
#
# Versions: numpy 2.4.6, xarray 2026.9.0, Python 3.11.
#
# What happens instead: mean alone adds float16 up in float32. std, var and nanmean
# add in float16, in which the sum of a column stops growing where its next number is
# less than half of the distance between two float16 numbers: 1024 and 0.3 make 1024.
# So the mean by nanmean, and the one that std takes the distances from, gets smaller
# with each row that comes after. No sum overflows, and nothing is warned of. xarray's
# mean skips NaNs unless told not to, by nanmean: there, even the centre of features
# stored in float16 is wrong. (numpy's issue 23075 has nanmean with sums that do
# overflow, which is warned of.)
#
# Seen, of features in float16 with mean 0.3 and deviation 0.05, by column:
#    1,000 rows: mean 0.300, nanmean 0.295, std 0.050, xarray mean 0.295
#    5,000 rows: mean 0.300, nanmean 0.205, std 0.101, xarray mean 0.205
#   20,000 rows: mean 0.300, nanmean 0.051, std 0.128, xarray mean 0.051
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check numpy==2.4.6 xarray==2026.9.0 pandas==3.1.1

cat > columns.py <<'PY'
import sys
import warnings

import numpy as np
import xarray

warnings.simplefilter("error")
features = (0.3 + 0.05 * np.random.default_rng(0).standard_normal((20000, 64))).astype("float16")
seen = []
for rows in (1000, 5000, 20000):
    part = features[:rows]
    columns = {
        "mean": part.mean(axis=0),
        "nanmean": np.nanmean(part, axis=0),
        "std": part.std(axis=0),
        "xarray mean": xarray.DataArray(part, dims=("row", "column")).mean("row").values,
    }
    values = {name: column.astype("float64").mean() for name, column in columns.items()}
    seen.append([round(float(value), 2) for value in values.values()])
    print(f"{rows:>6,} rows:", ", ".join(f"{name} {value:.3f}" for name, value in values.items()))
mean, nanmean, std, by_xarray = seen[-1]
if mean != 0.3 or nanmean > 0.1 or std < 0.1 or by_xarray > 0.1:
    sys.exit("the behaviour changed")
PY
venv/bin/python columns.py
