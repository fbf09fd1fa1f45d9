#!/usr/bin/env bash
# Hugging Face datasets: one file with "test" in its name hides all others.
#
# A competent person would guess: load_dataset("imagefolder", data_dir=...)
# over a folder of class folders gives every image of it, labelled by its
# class folder, whatever the images are called.
#
# Versions: datasets 5.2.0, Python 3.11.
#
# What happens instead: words such as "test", "dev", "eval" or "validation" in
# any part of a path below the folder name a split. Where one file or one class
# folder has such a word and no file has "train", there is only that split: all
# other images, and the labels with them, are gone. Nothing is raised, nothing
# is said. A class called "crash test dummy" is enough.
#
# Seen:
#   8 images in 2 class folders: train 8, labels cat dog
#   and 1 more, dog/dog_test_1.png: test 1, labels none
#   3 class folders of 4, one is "crash test dummy": test 4, labels none
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check datasets==5.2.0 pillow==12.0.0
export HF_HOME="$tmp/hub" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > load.py <<'PY'
import sys
from pathlib import Path

import datasets
from PIL import Image

datasets.disable_progress_bars()


def folder(name, files):
    for file in files:
        path = Path(name, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    return name


def found(name):
    splits = datasets.load_dataset("imagefolder", data_dir=name)
    rows = ", ".join(f"{split} {held.num_rows}" for split, held in splits.items())
    label = next(iter(splits.values())).features.get("label")
    return f"{rows}, labels {' '.join(label.names) if label else 'none'}"


plain = [f"{kind}/{kind}_{i}.png" for kind in ("cat", "dog") for i in range(4)]
dummy = [f"{kind}/{i}.png" for kind in ("cat", "crash test dummy", "dog") for i in range(4)]
seen = [
    found(folder("plain", plain)),
    found(folder("one", [*plain, "dog/dog_test_1.png"])),
    found(folder("dummy", dummy)),
]
print("8 images in 2 class folders:", seen[0])
print("and 1 more, dog/dog_test_1.png:", seen[1])
print('3 class folders of 4, one is "crash test dummy":', seen[2])
if seen != ["train 8, labels cat dog", "test 1, labels none", "test 4, labels none"]:
    sys.exit("the behaviour changed")
PY
venv/bin/python load.py
