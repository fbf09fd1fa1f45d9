#!/usr/bin/env bash
# webdataset: with a cache, the validation set is read from the training set.
#
# A competent person would guess: cache_dir keeps a copy of each shard that was
# downloaded and takes it from there the next time. A shard of another URL is
# another shard.
#
# Versions: webdataset 1.0.2, Python 3.11 (and curl, with which it downloads).
#
# What happens instead: the copy is called by the last part of the URL alone.
# Tools such as img2dataset number the shards of every dataset alike, 00000.tar
# and so on. Where two datasets, or two splits of one, share a cache (the
# environment variable WDS_CACHE is one for all), the second is never downloaded:
# its images, captions and labels are those of the first. Nothing is raised or
# warned of. (Known upstream: the tracker of webdataset has it open as issue 471.)
#
# Seen, of two folders of one server, each with its 00000.tar:
#   without a cache: train gives train 0, train 1; val gives val 0, val 1
#   with cache_dir:  train gives train 0, train 1; val gives train 0, train 1
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check webdataset==1.0.2 numpy==2.4.6

cat > cached.py <<'PY'
import functools
import http.server
import os
import sys
import threading
import warnings

import webdataset

warnings.simplefilter("error", UserWarning)
for split in ("train", "val"):
    os.makedirs(f"served/{split}")
    with webdataset.TarWriter(f"served/{split}/00000.tar") as tar:
        for number in range(2):
            tar.write({"__key__": f"{number:09d}", "txt": f"{split} {number}"})


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory="served"))
threading.Thread(target=server.serve_forever, daemon=True).start()


def captions(split, **options):
    url = f"http://127.0.0.1:{server.server_port}/{split}/00000.tar"
    return ", ".join(row["txt"] for row in webdataset.WebDataset(url, shardshuffle=False, **options).decode())


os.mkdir("cache")
seen = []
for name, options in (("without a cache:", {}), ("with cache_dir:", {"cache_dir": "cache"})):
    seen += [captions(split, **options) for split in ("train", "val")]
    print(f"{name:<16} train gives {seen[-2]}; val gives {seen[-1]}")
server.shutdown()
server.server_close()
train, val = "train 0, train 1", "val 0, val 1"
if seen != [train, val, train, train]:
    sys.exit("the behaviour changed")
PY
env -u WDS_CACHE no_proxy=127.0.0.1 venv/bin/python cached.py
