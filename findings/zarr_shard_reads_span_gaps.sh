#!/usr/bin/env bash
# zarr: a few rows of a sharded array cost a read of everything between them.
#
# A competent person would guess: a shard has an index so that a reader can
# fetch single chunks of it; two rows in two chunks of a shard cost the index
# and those two chunks, whatever lies between.
#
# Versions: zarr 3.4.2, numpy 2.5.5, Python 3.12 or later (which zarr 3.4 needs).
#
# What happens instead: chunks of one shard that lie up to 1 MiB apart are
# fetched as one range (of up to 16 MiB), gap included, from a local disk as
# from a remote store. Ten rows spread over a shard of 5 MB read 4.6 MB where
# their chunks hold 51 KB. With array.sharding_coalesce_max_gap_bytes at 0 only
# the chunks are read. (zarr 3.1.6 read only the chunks.)
#
# Seen:
#   default: chunks of 51200 bytes wanted, 4613120 read in 1 range(s)
#   max gap 0: chunks of 51200 bytes wanted, 51200 read in 10 range(s)
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python=
for candidate in python3 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[23]*/bin/python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2> /dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || { echo "needs Python 3.12 or later" >&2; exit 2; }
"$python" -m venv venv
venv/bin/pip install -q --disable-pip-version-check zarr==3.4.2 numcodecs==0.17.1 numpy==2.5.5

cat > rows.py <<'PY'
import numpy as np
import zarr
from zarr.storage import LocalStore

sizes = []


class Counting(LocalStore):
    async def get(self, key, *args, **kwargs):
        return self.note(key, await super().get(key, *args, **kwargs))

    def get_sync(self, key, *args, **kwargs):
        return self.note(key, super().get_sync(key, *args, **kwargs))

    def note(self, key, data):
        if data is not None and not key.endswith("zarr.json"):
            sizes.append(len(data))
        return data


values = np.arange(10000 * 128, dtype=np.float32).reshape(10000, 128)
layout = {"chunks": (10, 128), "shards": (10000, 128), "compressors": None}
zarr.create_array("store", name="x", data=values, **layout)
index = 16 * 1000 + 4  # offset and length of each chunk, and a checksum
rows = list(range(0, 10000, 1000))
wanted = len(rows) * 10 * 128 * 4
read = {}
for gap in (None, 0):
    settings = {} if gap is None else {"array.sharding_coalesce_max_gap_bytes": gap}
    with zarr.config.set(settings):
        array = zarr.open_array(Counting("store"), path="x", mode="r")
        sizes.clear()
        assert (array.oindex[rows] == values[rows]).all()
    read[gap] = sum(sizes) - index
    told = "default" if gap is None else f"max gap {gap}"
    print(f"{told}: chunks of {wanted} bytes wanted, {read[gap]} read in {len(sizes) - 1} range(s)")
if not (read[None] > 50 * wanted and read[0] == wanted):
    raise SystemExit("the behaviour changed")
PY
venv/bin/python rows.py
