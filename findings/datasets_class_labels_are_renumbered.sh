#!/usr/bin/env bash
# Hugging Face datasets: class_encode_column gives numbered classes other numbers.
#
# A competent person would guess: class_encode_column makes class labels of a
# column. A column of integers 0, 1, 2, ... holds such labels already: it keeps
# its numbers, and gets only the feature's type and names.
#
# Versions: datasets 5.2.0, Python 3.11.
#
# What happens instead: the numbers become texts, are sorted as texts (0, 1, 10,
# 11, 2, ...), and each gets its place there as its label. Up to ten classes
# nothing moves, from eleven on nearly everything does, to other valid labels:
# they no longer fit a list of class names, the columns of a classifier, or
# predictions made before. A stratified split is a usual reason to call it, as it
# refuses integers. Nothing is warned of; int2str still gives the old numbers.
#
# Seen:
#   10 classes:  labels that stay 10, accuracy of right predictions 1.00
#   12 classes:  labels that stay 2, accuracy of right predictions 0.17
#   100 classes: labels that stay 12, accuracy of right predictions 0.12
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check datasets==5.2.0 numpy==2.4.6
export HF_HOME="$tmp/hub" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > labels.py <<'PY'
import sys
import warnings

import datasets

warnings.simplefilter("error")
datasets.disable_progress_bars()
seen = []
for classes in (10, 12, 100):
    labels = list(range(classes)) * 2
    rows = datasets.Dataset.from_dict({"label": labels, "predicted": labels})
    try:
        rows.train_test_split(0.5, stratify_by_column="label")
        sys.exit("integers can be split")
    except ValueError:
        rows = rows.class_encode_column("label").train_test_split(0.5, seed=0, stratify_by_column="label")["test"]
    right = [label == guess for label, guess in zip(rows["label"], rows["predicted"], strict=True)]
    named = rows.features["label"].int2str(rows["label"][:]) == [str(guess) for guess in rows["predicted"]]
    seen.append((len(right), sum(right), named))
    print(f"{f'{classes} classes:':<12} labels that stay {sum(right)}, "
          f"accuracy of right predictions {sum(right) / len(right):.2f}")
if seen != [(10, 10, True), (12, 2, True), (100, 12, True)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python labels.py
