#!/usr/bin/env bash
# xarray: scores that are appended to a store give the rows before them other class names.
#
# A competent person would guess: xarray goes by labels. to_zarr with append_dim="image"
# puts a column of class "dog" below the store's column "dog", in whatever order a second
# run has its classes, as xr.concat of the same two does; or it refuses another order.
#
# Versions: xarray 2026.9.0, zarr 3.1.6, numpy 2.4.6, Python 3.11.
#
# What happens instead: columns are put below each other in the order that they come in,
# and the names of the columns are replaced by those of the second run. Every score of the
# first run stands under another class then, and each image of it is another class's. With
# mode="a-" the names stay, and the second run's scores are under wrong ones. The same goes
# for any dimension but the appended one, such as prompts, models or layers. Nothing is
# raised or warned of; only another number of columns is an error. (Known upstream as
# issue 11101 of xarray. The manual says that coordinates are replaced, not what that does
# to the rows.)
#
# Seen, the classes with the highest score, of two images of run 1 and two of run 2:
#   the runs by themselves: cat dog, cat owl
#   xr.concat:              cat dog, cat owl
#   to_zarr:                dog owl, cat owl
#   to_zarr, mode="a-":     cat dog, owl dog
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 pandas==3.1.1

cat > scores.py <<'PY'
import sys
import warnings

import numpy as np
import xarray as xr

warnings.simplefilter("error")


def run(images, classes, right):
    scores = [[0.9 if name == one else 0.1 for name in classes] for one in right]
    return xr.Dataset({"score": (("image", "class"), scores)}, {"image": images, "class": np.array(classes, object)})


def best(data):
    return list(data["class"].values[data["score"].argmax("class").values])


def appended(store, **settings):
    first.to_zarr(store, consolidated=False)
    second.to_zarr(store, consolidated=False, append_dim="image", **settings)
    with xr.open_zarr(store, consolidated=False, chunks=None) as data:
        return best(data.load())


first = run([0, 1], ["cat", "dog", "owl"], ["cat", "dog"])
second = run([2, 3], ["dog", "owl", "cat"], ["cat", "owl"])
seen = {
    "the runs by themselves:": best(first) + best(second),
    "xr.concat:": best(xr.concat([first, second], "image", join="outer")),
    "to_zarr:": appended("a.zarr"),
    'to_zarr, mode="a-":': appended("b.zarr", mode="a-"),
}
for what, classes in seen.items():
    print(f"{what:<23} {' '.join(classes[:2])}, {' '.join(classes[2:])}")
right = ["cat", "dog", "cat", "owl"]
if list(seen.values()) != [right, right, ["dog", "owl", "cat", "owl"], ["cat", "dog", "owl", "dog"]]:
    sys.exit("the behaviour changed")
PY
venv/bin/python scores.py
