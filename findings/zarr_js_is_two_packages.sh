#!/usr/bin/env bash
# npm: `zarr` (zarr.js) and `zarrita` (zarrita.js) read different formats.
#
# A competent person would guess: the package named zarr, which is kept up and
# documented, reads what zarr-python writes today.
#
# Versions: zarr (npm) 0.6.3, zarrita 0.7.5, @zarrita/storage 0.2.0; node 20; zarr (Python) 3.1.6.
#
# What happens instead: `zarr` knows format 2 alone and finds no group where one
# of format 3 is. `zarrita` reads format 3 whole, with shards, zstd, strings, out
# of a zip.
#
# Seen:
#   zarr: GroupNotFoundError
#   zarrita: features float32 3,2 item,feature 0,1,2,3,4,5
#   zarrita: id string 3 item ä,b,c
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check zarr==3.1.6
npm init -y > /dev/null
npm install --silent --no-audit --no-fund zarr@0.6.3 zarrita@0.7.5 "@zarrita/storage@0.2.0"

cat > write.py <<'PY'
import numpy as np
import zarr
from zarr.storage import LocalStore, ZipStore

for store in (ZipStore("x.zip", mode="w"), LocalStore("x")):
    group = zarr.create_group(store)
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    names = {"chunks": (1, 2), "shards": (3, 2), "dimension_names": ("item", "feature")}
    group.create_array("features", data=features, **names)
    words = np.array(["ä", "b", "c"], dtype=np.dtypes.StringDType())
    group.create_array("id", data=words, dimension_names=("item",))
    store.close()
PY
venv/bin/python write.py

cat > read.mjs <<'JS'
import { readFile } from "node:fs/promises";
import { existsSync, readFileSync } from "node:fs";
import { openGroup } from "zarr";
import * as zarrita from "zarrita";
import ZipFileStore from "@zarrita/storage/zip";

const folder = { // the least that zarr.js asks of a store
  getItem: (key) => readFileSync(`x/${key}`),
  containsItem: (key) => existsSync(`x/${key}`),
};
try {
  await openGroup(folder, null, "r");
  console.log("zarr: opens");
} catch (error) {
  console.log("zarr:", error.constructor.name);
}
const zip = ZipFileStore.fromBlob(new Blob([await readFile("x.zip")]));
const group = await zarrita.open.v3(zip, { kind: "group" });
for (const name of ["features", "id"]) {
  const array = await zarrita.open.v3(group.resolve(name), { kind: "array" });
  const held = await zarrita.get(array);
  console.log(`zarrita: ${name} ${array.dtype} ${array.shape} ${array.dimensionNames} ${[...held.data]}`);
}
JS
node read.mjs
