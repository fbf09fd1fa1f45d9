#!/usr/bin/env bash
# Hugging Face datasets: of a local folder whose file was replaced, the old rows are loaded.
#
# A competent person would guess: load_dataset("folder") reads what lies in the folder. If
# its cache is used, then a file is known by its content, or as other tools know it, by its
# time and size together; and replaced files of another size are seen at least.
#
# Versions: datasets 4.8.4 and 5.2.0, Python 3.11.
#
# What happens instead: the cache knows a file by its path and its time of modification
# alone. A file that is replaced and has the old one's time, as files unpacked from archives
# that give all their files one time, or copied with `cp -p`, is not read: the rows of the
# old file come back, without a word, even where the new one has another size and another
# number of rows. With download_mode="force_redownload", which is there for that, this new
# number of rows is an error: the new rows are compared with what the cache noted of the old
# ones. Another time of the file, or another cache_dir, has it read.
#
# Seen, of CSV, JSON lines and parquet alike, a file of 2 rows replaced by one of 3:
#   of the old time:                         2 rows, of the old file
#   of the old time, with force_redownload:  NonMatchingSplitsSizesError
#   of the old time, with another cache_dir: 3 rows
#   of another time:                         3 rows
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
cat > seen.py <<'PY'
import os
import shutil

import datasets
import pandas as pd

datasets.disable_progress_bars()
OLD, NEW = ["cat", "dog"], ["owl", "hen", "a longer line"]
WRITERS = {
    "csv": lambda rows, file: rows.to_csv(file, index=False),
    "jsonl": lambda rows, file: rows.to_json(file, orient="records", lines=True),
    "parquet": lambda rows, file: rows.to_parquet(file),
}


def put(kind, texts, time):
    os.makedirs("folder", exist_ok=True)
    file = f"folder/train.{kind}"
    WRITERS[kind](pd.DataFrame({"text": texts}), file)
    os.utime(file, (time, time))


def loaded(**options):
    return list(datasets.load_dataset("folder", split="train", **options)["text"])


found = set()
for kind in WRITERS:
    shutil.rmtree("folder", ignore_errors=True)
    shutil.rmtree("cache", ignore_errors=True)
    shutil.rmtree("other", ignore_errors=True)
    put(kind, OLD, 10**9)
    assert loaded() == OLD
    put(kind, NEW, 10**9)
    same = loaded()
    try:
        anew = loaded(download_mode="force_redownload")
    except datasets.exceptions.DatasetsError as error:
        anew = type(error).__name__
    elsewhere = loaded(cache_dir="other")
    put(kind, NEW, 10**9 + 1)
    found.add((len(same), anew, len(elsewhere), len(loaded())))
    assert same == OLD and elsewhere == NEW
print(datasets.__version__, found)
assert found == {(2, "NonMatchingSplitsSizesError", 3, 3)}
PY
export HF_HUB_OFFLINE=1 HF_DATASETS_CACHE="$tmp/cache" HF_HOME="$tmp/home"
for version in 4.8.4 5.2.0; do
    python3 -m venv "venv-$version"
    "venv-$version/bin/pip" install -q --disable-pip-version-check "datasets==$version" \
        pandas==2.3.3 pyarrow==26.0.1
    "venv-$version/bin/python" seen.py
done
