#!/usr/bin/env bash
# torchmetrics: a collection of top-1 and top-5 accuracy gives top-1 accuracy twice.
#
# A competent person would guess: a MetricCollection updates each of its metrics with
# each batch and gives what they give alone. Which batch comes first makes no
# difference, as the accuracy of all images is asked for.
#
# Versions: torchmetrics 1.9.0, torch 2.14.1, Python 3.11.
#
# What happens instead: after the first batch, metrics whose counts are equal are taken
# for one, and only the first of them is updated from then on. If every image of that
# batch has its class at rank 1 (images in the order of their classes begin with one
# class, and some are easy), the counts of top-1 and top-5 are equal: what comes out as
# top-5 accuracy is the top-1 accuracy of all images. Nothing is raised or warned of.
# With the batches the other way round, or with compute_groups=False, both are right.
#
# Seen, of 10 classes, one a batch, the first without an error:
#   each metric alone:               top-1 0.45, top-5 0.83
#   collection:                       top-1 0.45, top-5 0.45
#   collection, last batch first:     top-1 0.45, top-5 0.83
#   collection, compute_groups=False: top-1 0.45, top-5 0.83
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6

cat > collection.py <<'PY'
import sys
import warnings

import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

warnings.simplefilter("error")
classes, images = 10, 50
torch.manual_seed(0)
batches = []
for label in range(classes):
    labels = torch.full((images,), label)
    scores = torch.rand(images, classes)
    scores[:, label] += 1 if label == 0 else 0.3
    batches.append((scores, labels))
if (batches[0][0].argmax(dim=1) != 0).any():
    sys.exit("the first batch has errors")


def metrics():
    return {f"top-{k}": MulticlassAccuracy(num_classes=classes, top_k=k) for k in (1, 5)}


class Alone(dict):
    def update(self, scores, labels):
        for metric in self.values():
            metric.update(scores, labels)

    def compute(self):
        return {name: metric.compute() for name, metric in self.items()}


seen = []
for what, together, order in (
    ("each metric alone:", Alone(metrics()), batches),
    ("collection:", MetricCollection(metrics()), batches),
    ("collection, last batch first:", MetricCollection(metrics()), batches[::-1]),
    ("collection, compute_groups=False:", MetricCollection(metrics(), compute_groups=False), batches),
):
    for scores, labels in order:
        together.update(scores, labels)
    seen.append(tuple(round(value.item(), 2) for value in together.compute().values()))
    print(f"{what:<33} top-1 {seen[-1][0]:.2f}, top-5 {seen[-1][1]:.2f}")
alone = seen[0]
if alone[0] == alone[1] or seen != [alone, (alone[0], alone[0]), alone, alone]:
    sys.exit("the behaviour changed")
PY
venv/bin/python collection.py
