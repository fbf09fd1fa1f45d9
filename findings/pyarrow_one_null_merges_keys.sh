#!/usr/bin/env bash
# pyarrow and pandas: one missing key makes other keys of the column equal.
#
# A competent person would guess: a column of int64 in a parquet file comes out
# of to_pandas with the numbers it has. Where a value is missing there is a hole,
# and the values beside it stay what they are.
#
# Versions: pyarrow 22.0.0, pandas 3.0.0, numpy 2.4.6, Python 3.11.
#
# What happens instead: with a null anywhere in the column all of it becomes
# float64, which holds each whole number up to 2**53 only. Keys made by hashing
# or from the time are larger: neighbours become one number, and a caption finds
# the image of another, or none. Cast back to int64 they look like keys as before.
# One caption without an image is enough; without it, the same column is right.
#
# Seen:
#   3 captions of 3 images:    int64, finds its own, its own, its own
#   and a caption of no image: float64, finds its own, another's, none
#   integer_object_nulls=True: object, finds its own, its own, its own
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pyarrow==22.0.0 pandas==3.0.0 numpy==2.4.6

cat > keys.py <<'PY'
import sys
import warnings

import pyarrow as pa
import pyarrow.parquet as pq

warnings.simplefilter("error")
images = [2**60, 2**60 + 1, 2**60 + 1000]


def read(keys, **options):
    pq.write_table(pa.table({"image": keys}), "captions.parquet")
    column = pq.read_table("captions.parquet").to_pandas(**options)["image"]
    found = column.dropna().astype("int64")
    return str(column.dtype), [
        "its own" if key == image else "another's" if key in images else "none"
        for key, image in zip(found, images, strict=True)
    ]


seen = {
    "3 captions of 3 images:": read(images),
    "and a caption of no image:": read([*images, None]),
    "integer_object_nulls=True:": read([*images, None], integer_object_nulls=True),
}
for what, (kind, found) in seen.items():
    print(f"{what:<26} {kind}, finds {', '.join(found)}")
own = ["its own"] * 3
if list(seen.values()) != [("int64", own), ("float64", ["its own", "another's", "none"]), ("object", own)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python keys.py
