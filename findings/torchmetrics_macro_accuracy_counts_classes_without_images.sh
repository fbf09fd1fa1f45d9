#!/usr/bin/env bash
# torchmetrics: accuracy by class falls by half when wrong answers are other ones.
#
# A competent person would guess: MulticlassAccuracy, which averages over classes
# unless told not to, is the mean of the classes' accuracies: of each, the share of
# its images that are found. Which class a wrong answer names makes no difference,
# and a class without images has no accuracy and is left out.
#
# Versions: torchmetrics 1.9.0, scikit-learn 1.9.1, torch 2.14.1, Python 3.11.
#
# What happens instead: a class without images is left out only as long as no image is
# taken for it. From the first on it counts as a class of accuracy 0. Where a model
# picks from all names (1,000 of ImageNet) for images of some (ten, a subset or a
# shift of it), wrong answers cost the more the more names they are spread over. With
# top_k=2 such classes are left out (since issue 2418), so that the top 2 may be said
# to be twice as good as the top 1 while they find the same images. scikit-learn's
# balanced_accuracy_score leaves them out, too, and warns of them; here nothing is
# warned of.
#
# Seen, of 1,000 images of 10 of 1,000 classes, 50 of which get a wrong class first,
# and another class without images second:
#   one of the ten:           torchmetrics 0.950, with top_k=2 0.950, scikit-learn 0.950
#   one class without images: torchmetrics 0.864, with top_k=2 0.950, scikit-learn 0.950
#   ten of them:              torchmetrics 0.475, with top_k=2 0.950, scikit-learn 0.950
#   fifty of them:            torchmetrics 0.158, with top_k=2 0.950, scikit-learn 0.950
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchmetrics==1.9.0 scikit-learn==1.9.1 scipy==1.17.1 \
    torch==2.14.1 numpy==2.4.6

cat > accuracy.py <<'PY'
import sys
import warnings

import torch
from sklearn.metrics import balanced_accuracy_score
from torchmetrics.classification import MulticlassAccuracy

warnings.simplefilter("error")
labels = torch.arange(1000) % 10
wrong = torch.arange(50)  # five images of each of the ten classes
answers = {
    "one of the ten": (labels[wrong] + 1) % 10,
    "one class without images": torch.full((50,), 10),
    "ten of them": 10 + wrong % 10,
    "fifty of them": 10 + wrong,
}
seen = []
for name, others in answers.items():
    predicted = labels.clone()
    predicted[wrong] = others
    scores = torch.nn.functional.one_hot(predicted, 1000).float()
    scores[:, 999] = 0.5  # second for all images, and found by none
    first, second = (MulticlassAccuracy(num_classes=1000, top_k=k)(scores, labels).item() for k in (1, 2))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        theirs = balanced_accuracy_score(labels, predicted)
    seen.append([round(float(value), 3) for value in (first, second, theirs)])
    print(f"{name + ':':<26}torchmetrics {first:.3f}, with top_k=2 {second:.3f}, scikit-learn {theirs:.3f}")
if seen != [[first, 0.95, 0.95] for first in (0.95, 0.864, 0.475, 0.158)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python accuracy.py
