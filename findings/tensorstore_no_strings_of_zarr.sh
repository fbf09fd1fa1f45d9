#!/usr/bin/env bash
# tensorstore: arrays of strings, as zarr-python 3 writes them, can't be opened.
#
# A competent person would guess: zarr 3 is one format; what zarr-python writes
# without a word on its type, tensorstore's driver `zarr3` reads.
#
# Versions: zarr 3.1.6, tensorstore 0.1.86, Python 3.11 or later.
#
# What happens instead: numbers and booleans are read, sharded and out of a zip
# alike; of strings the data type is unknown, and opening the array fails.
#
# Seen:
#   features: reads (3, 2) ('item', 'feature')
#   id: string data type is not one of the supported data types
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check zarr==3.1.6 tensorstore==0.1.86

cat > read.py <<'PY'
import os

import numpy as np
import tensorstore
import zarr
from zarr.storage import ZipStore

with ZipStore("x.zip", mode="w") as store:
    group = zarr.create_group(store)
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    names = {"chunks": (1, 2), "shards": (3, 2), "dimension_names": ("item", "feature")}
    group.create_array("features", data=features, **names)
    group.create_array("id", data=np.array(["a", "b", "c"], dtype=np.dtypes.StringDType()))
kept = {"driver": "zip", "base": "file://" + os.path.abspath("x.zip")}
for name in ("features", "id"):
    try:
        spec = {"driver": "zarr3", "kvstore": {**kept, "path": f"{name}/"}}
        found = tensorstore.open(spec, open=True, read=True).result()
        assert (found.read().result() == features).all()
        print(f"{name}: reads {found.shape} {found.domain.labels}")
    except ValueError as error:
        assert name == "id"
        print("id:", "string data type is not one of the supported data types" if "string data type" in str(error) else error)
PY
venv/bin/python read.py
