#!/usr/bin/env bash
# Lance: after one caption was mended, row 3 of the dataset is what row 4 was.
#
# A competent person would guess: update changes the values of the rows that it is asked
# for, and take(rows) reads rows by their number, as a training loop does. The number of
# images is the same as before, and so is the order: features that were computed for row
# after row, and lie in an array beside the dataset, still fit it.
#
# Versions: pylance 14.0.2, pyarrow 26.0.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: a row that is updated is taken out and written anew at the end, and
# all rows after it move up by one. To change a caption is to move its image. The same is
# true of merge_insert, which changes rows by their key, of a dataset with
# enable_stable_row_ids=True, and after compact_files. The number of rows is the same, so no
# shape tells. With one mended caption near the front almost all features belong to the
# next image, with one in the middle half of them. Nothing is raised or warned of. (A copy
# of the ids beside the features shows it. Known upstream: the comments on issue 1589.)
#
# Seen, with the features of 1,000 images computed before, in the order of the rows:
#   as written:                      1000 rows, take([3]) has id 3, recall at 1 1.00
#   update of row 3:                 1000 rows, take([3]) has id 4, recall at 1 0.00
#   update of row 3, stable row ids: 1000 rows, take([3]) has id 4, recall at 1 0.00
#   merge_insert of row 3:           1000 rows, take([3]) has id 4, recall at 1 0.00
#   update of row 500:               1000 rows, take([3]) has id 3, recall at 1 0.50
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pylance==14.0.2 pyarrow==26.0.1 numpy==2.4.6
export OMP_NUM_THREADS=1

cat > mended.py <<'PY'
import sys
import warnings

import lance
import numpy as np
import pyarrow as pa

warnings.simplefilter("error")
count, width = 1000, 32
random = np.random.default_rng(0)
image_features = random.standard_normal((count, width))
text_features = image_features + 0.3 * random.standard_normal((count, width))
image_features /= np.linalg.norm(image_features, axis=1, keepdims=True)
table = pa.table({"id": pa.array(range(count)), "caption": [f"a photo of thing {row}" for row in range(count)]})


def update(dataset, row):
    dataset.update({"caption": "'a photo, mended'"}, where=f"id = {row}")


def merge(dataset, row):
    mended = pa.table({"id": [row], "caption": ["a photo, mended"]})
    dataset.merge_insert("id").when_matched_update_all().execute(mended)


def recall(dataset):
    ids = dataset.take(range(count), columns=["id"])["id"].to_numpy()
    return (ids[(text_features[ids] @ image_features.T).argmax(1)] == ids).mean()


seen = []
for name, change, row, stable in (
    ("as written", None, 0, False),
    ("update of row 3", update, 3, False),
    ("update of row 3, stable row ids", update, 3, True),
    ("merge_insert of row 3", merge, 3, False),
    ("update of row 500", update, 500, False),
):
    dataset = lance.write_dataset(table, f"{len(seen)}.lance", enable_stable_row_ids=stable)
    if change:
        change(dataset, row)
    third = dataset.take([3])["id"].to_pylist()[0]
    seen.append((len(dataset), third, recall(dataset)))
    print("{:<33}{} rows, take([3]) has id {}, recall at 1 {:.2f}".format(name + ":", *seen[-1]))
written, *first, middle = seen
if written != (count, 3, 1) or any(rows != count or third != 4 or share > 0.05 for rows, third, share in first):
    sys.exit("the behaviour changed")
if middle[:2] != (count, 3) or not 0.4 < middle[2] < 0.6:
    sys.exit("the behaviour changed")
PY
venv/bin/python mended.py
