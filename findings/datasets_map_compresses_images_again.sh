#!/usr/bin/env bash
# Hugging Face datasets: a map that only looks at an image changes its pixels.
#
# A competent person would guess: map adds the columns that its function
# returns and leaves the others as they are. A function that returns the width
# of row["image"], and no image, doesn't touch the images.
#
# Versions: datasets 5.2.0, pillow 12.0.0, Python 3.11.
#
# What happens instead: an image that the function looked at was decoded for it
# and is written decoded, that is encoded anew: a JPEG of quality 95 with
# Pillow's 75, half the bytes and other pixels. This is so where images come as
# bytes, as those of parquet and the hub do. Nothing is said; features of the
# set that now has a column "width" are not those of the set. A function that
# looks at captions alone, or a cast to Image(decode=False) before, keeps them.
#
# Seen:
#   a map that reads row["caption"]: same bytes, pixels changed 0 %
#   a map that reads row["image"]:   fewer bytes, pixels changed 90 % and more
#   decode=False before the map:     same bytes, pixels changed 0 %
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check datasets==5.2.0 pillow==12.0.0 numpy==2.4.6
export HF_HOME="$tmp/hub" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > look.py <<'PY'
import io
import sys

import datasets
import numpy as np
from PIL import Image

datasets.disable_progress_bars()
file = io.BytesIO()
noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
Image.fromarray(noise).save(file, "JPEG", quality=95)
features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
rows = {"image": [{"bytes": file.getvalue(), "path": None}], "caption": ["noise"]}
datasets.Dataset.from_dict(rows, features=features).to_parquet("set.parquet")
plain = datasets.load_dataset("parquet", data_files="set.parquet", split="train")


def held(table):
    table = table.cast_column("image", datasets.Image())
    data = table.cast_column("image", datasets.Image(decode=False))[0]["image"]["bytes"]
    return len(data), np.asarray(table[0]["image"])


def words(row):
    return {"words": len(row["caption"].split())}


def width(row):
    return {"width": row["image"].width}


def width_of_bytes(row):
    return {"width": Image.open(io.BytesIO(row["image"]["bytes"])).width}


size, pixels = held(plain)
seen = []
for said, table in {
    'a map that reads row["caption"]:': plain.map(words),
    'a map that reads row["image"]:  ': plain.map(width),
    "decode=False before the map:    ": plain.cast_column("image", datasets.Image(decode=False)).map(width_of_bytes),
}.items():
    bytes_after, pixels_after = held(table)
    changed = 100 * (pixels_after != pixels).mean()
    kind = "same bytes" if bytes_after == size else "fewer bytes" if bytes_after < size else "more bytes"
    seen.append((kind, changed == 0, changed > 90))
    print(said, f"{kind}, pixels changed {'0 %' if changed == 0 else '90 % and more' if changed > 90 else changed}")
if seen != [("same bytes", True, False), ("fewer bytes", False, True), ("same bytes", True, False)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python look.py
