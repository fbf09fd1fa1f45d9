#!/usr/bin/env bash
# webdataset: frame 12 of video 1 and frame 2 of video 11 have one id.
#
# A competent person would guess: decode() makes a number of the field "id" where it is one. A
# name such as 1_12 (frame, crop or caption 12 of item 1) isn't: it stays text, or is refused.
#
# Versions: webdataset 1.0.2, numpy 2.4.6, Python 3.11.
#
# What happens instead: the field is read by Python's int, to which a line between two digits
# is a mark for the eye, as in 1_000: 1_12 and 11_2 are both 112. Every id is another one than
# was written, some frames share theirs, and what is kept by id holds the last of them. With
# one digit behind the line ids stay different, and are those of other items: caption 3 of
# image 13 is image 133. Zeros in front go, too: 007 is 7. Nothing is raised or warned of. The
# fields index, inx, cls and cls2 are read alike; in json the id stays as it was written. (That
# these fields are integers is documented; what counts as one is not.)
#
# Seen, of 100 videos with 100 frames each:
#   written as id, then decode():   10000 frames, 9271 ids, under their own id 0.00
#   written in json, then decode(): 10000 frames, 10000 ids
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check webdataset==1.0.2 numpy==2.4.6

cat > frames.py <<'PY'
import json
import sys
import warnings

import webdataset

warnings.simplefilter("error")
# of a file that webdataset leaves to the collector to close
warnings.simplefilter("ignore", ResourceWarning)
videos, frames = 100, 100
names = [f"{video}_{frame}" for video in range(1, videos + 1) for frame in range(1, frames + 1)]
with webdataset.TarWriter("frames.tar") as shard:
    for number, name in enumerate(names):
        shard.write({"__key__": f"{number:06}", "id": name.encode(), "json": json.dumps({"id": name}).encode()})

samples = list(webdataset.WebDataset("frames.tar", shardshuffle=False).decode())
ids, kept = [sample["id"] for sample in samples], [sample["json"]["id"] for sample in samples]
own = sum(str(number) == name for number, name in zip(ids, names, strict=True)) / len(names)
print(f"written as id, then decode():   {len(ids)} frames, {len(set(ids))} ids, under their own id {own:.2f}")
print(f"written in json, then decode(): {len(kept)} frames, {len(set(kept))} ids")
one, other = (ids[names.index(name)] for name in ("1_12", "11_2"))
if kept != names or own != 0 or not one == other == 112 or len(set(ids)) > 0.95 * len(ids):
    sys.exit("the behaviour changed")
PY
venv/bin/python frames.py
