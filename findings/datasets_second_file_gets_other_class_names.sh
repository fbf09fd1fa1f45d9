#!/usr/bin/env bash
# Hugging Face datasets: a second parquet file's labels get the first one's names.
#
# A competent person would guess: to_parquet writes the names of the classes into
# the file, and load_dataset reads them there. Two files with other orders of the
# names are brought to one order (align_labels_with_mapping does that), or are
# refused, as concatenate_datasets refuses the same two datasets.
#
# Versions: datasets 5.2.0, pyarrow 26.0.1, Python 3.11.
#
# What happens instead: the names are read from the first file, and the numbers of
# all others are taken to mean the same. Every image of a second file whose classes
# were listed in another order is another class's; and with a file a split, the
# test labels are read by the names of the training set. Nothing is raised or
# warned of, whether or not the two have the same set of names.
#
# Seen, of two files that hold cat dog, by names in the order cat, dog and dog, cat:
#   concatenate_datasets:         ValueError
#   the second file by itself:    cat dog
#   load_dataset, both files:     cat dog dog cat
#   load_dataset, a file a split: cat dog, dog cat
#   a second file of wolf, fox:   cat dog cat dog
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
export HF_HOME="$tmp/hub" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > names.py <<'PY'
import os
import sys
import warnings

import datasets

warnings.simplefilter("error")
datasets.disable_progress_bars()


def written(file, images, names):
    """A parquet file of images that are named, by labels in the order of names."""
    features = datasets.Features({"label": datasets.ClassLabel(names=names)})
    rows = datasets.Dataset.from_dict({"label": [names.index(name) for name in images]}, features)
    rows.to_parquet(file)
    return rows


def read(files, split="train"):
    rows = datasets.load_dataset("parquet", data_files=files, split=split)
    return " ".join(rows.features["label"].int2str(rows["label"][:]))


first = written("0.parquet", ["cat", "dog"], ["cat", "dog"])
second = written("1.parquet", ["cat", "dog"], ["dog", "cat"])
written("2.parquet", ["wolf", "fox"], ["wolf", "fox"])
try:
    together = " ".join(map(str, datasets.concatenate_datasets([first, second])["label"]))
except ValueError as error:
    together = type(error).__name__
files = {"train": "0.parquet", "test": "1.parquet"}
seen = {
    "concatenate_datasets:": together,
    "the second file by itself:": read(["1.parquet"]),
    "load_dataset, both files:": read(["0.parquet", "1.parquet"]),
    "load_dataset, a file a split:": f"{read(files)}, {read(files, 'test')}",
    "a second file of wolf, fox:": read(["0.parquet", "2.parquet"]),
}
for what, found in seen.items():
    print(f"{what:<29} {found}")
changed = list(seen.values()) != ["ValueError", "cat dog", "cat dog dog cat", "cat dog, dog cat", "cat dog cat dog"]
if changed:
    print("the behaviour changed", file=sys.stderr)
sys.stdout.flush()
os._exit(changed)  # a thread of pyarrow that is still reading can abort the interpreter's usual end
PY
venv/bin/python names.py
