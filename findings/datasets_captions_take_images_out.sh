#!/usr/bin/env bash
# Hugging Face datasets: a file of captions takes out the images it doesn't name.
#
# A competent person would guess: a metadata.csv in a folder of images adds columns
# to them. Images that it doesn't name have none there, or are an error (as they
# were in earlier versions), and the folders' names are the labels, as without the
# file, at the latest when drop_labels=False asks for them.
#
# Versions: datasets 5.2.0, pillow 13.0.0, Python 3.11.
#
# What happens instead: the file's rows are the dataset. Images without a row are
# left out, whole folders of them if the file lies in one folder only, and the
# labels are gone, whatever drop_labels says. Nothing is raised or warned of. With
# captions for some images only, retrieval among all images becomes one among few.
#
# Seen, of 6 images in the folders cat and dog:
#   no metadata.csv:                       6 rows, columns image label
#   captions of 2 images:                  2 rows, columns image caption
#   captions of 2 images, drop_labels off: 2 rows, columns image caption
#   captions in folder cat, of its images: 3 rows, columns image caption
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check datasets==5.2.0 pillow==13.0.0 pyarrow==26.0.1 \
    pandas==3.1.1 numpy==2.4.6
export HF_HOME="$tmp/hub" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > captions.py <<'PY'
import sys
import warnings
from pathlib import Path

import datasets
from PIL import Image

warnings.simplefilter("error")
warnings.simplefilter("ignore", ResourceWarning)  # the library leaves files open
datasets.disable_progress_bars()


def folder(name, table="", rows=()):
    """A folder of 3 images of each class, with captions in the file `table`."""
    for kind in ("cat", "dog"):
        Path(name, kind).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8), (80 * number, 0, 0)).save(f"{name}/{kind}/{number}.png")
    if table:
        Path(name, table).write_text("".join(f"{row}\n" for row in ("file_name,caption", *rows)))
    return name


two = ["cat/0.png,a cat", "dog/1.png,a dog"]
cats = [f"{number}.png,a cat" for number in range(3)]
seen = []
for what, where, settings in (
    ("no metadata.csv:", folder("none"), {}),
    ("captions of 2 images:", folder("two", "metadata.csv", two), {}),
    ("captions of 2 images, drop_labels off:", "two", {"drop_labels": False}),
    ("captions in folder cat, of its images:", folder("cats", "cat/metadata.csv", cats), {}),
):
    rows = datasets.load_dataset("imagefolder", data_dir=where, split="train", **settings)
    seen.append((len(rows), " ".join(rows.column_names)))
    print(f"{what:<38} {len(rows)} rows, columns {seen[-1][1]}")
if seen != [(6, "image label"), (2, "image caption"), (2, "image caption"), (3, "image caption")]:
    sys.exit("the behaviour changed")
PY
venv/bin/python captions.py
