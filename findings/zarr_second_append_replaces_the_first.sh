#!/usr/bin/env bash
# zarr: in a consolidated store, a second append is written over the first.
#
# A competent person would guess: group["features"].append(rows) adds the rows at
# the end of what is stored, each time that it is called. Consolidated metadata,
# a copy of all shapes in the group's own file, is there to open a store faster.
#
# Versions: zarr 3.1.6, numpy 2.4.6, Python 3.11.
#
# What happens instead: append changes the array's own file and not the copy, and
# the group goes on taking the array's shape from the copy. To it the array has
# not grown, in this process and in every later one that opens the group to
# write. The next append begins at the old end: the rows of the first one are
# replaced, and all that is read through the group is what was there before both.
# Nothing is raised or warned of (only, in format 3, as the copy is made, that the
# format has no word on it yet). xarray makes such a copy by default.
#
# Seen:
#   not consolidated: group sees 6 rows, the array's file 6: 1 1 2 2 3 3
#   consolidated:     group sees 2 rows, the array's file 4: 1 1 3 3
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check zarr==3.1.6 numpy==2.4.6

cat > appends.py <<'PY'
import sys
import warnings

import numpy as np
import zarr


def appended(path, consolidated):
    group = zarr.create_group(path)
    group.create_array("features", data=np.full((2, 4), 1, "float32"))
    if consolidated:
        with warnings.catch_warnings():  # "not part of the specification", said here alone
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in (2, 3):
            zarr.open_group(path, mode="r+")["features"].append(np.full((2, 4), number, "float32"))
        seen = zarr.open_group(path, mode="r")["features"].shape[0]
        rows = zarr.open_array(f"{path}/features", mode="r")[:, 0]
    return seen, " ".join(f"{row:.0f}" for row in rows)


plain, copied = appended("plain.zarr", False), appended("copied.zarr", True)
for name, (seen, rows) in (("not consolidated:", plain), ("consolidated:", copied)):
    print(f"{name:<17} group sees {seen} rows, the array's file {len(rows.split())}: {rows}")
if plain != (6, "1 1 2 2 3 3") or copied != (2, "1 1 3 3"):
    sys.exit("the behaviour changed")
PY
venv/bin/python appends.py
