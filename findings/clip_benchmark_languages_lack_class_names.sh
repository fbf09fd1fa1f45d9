#!/usr/bin/env bash
# clip-benchmark: a model that makes no mistakes has 99.8% on ImageNet, in Italian 98.0%.
#
# A competent person would guess: the names of ImageNet's 1,000 classes are 1,000 names,
# in each language that clip-benchmark has. Accuracies in two languages differ by how well
# a model knows the languages, and 100% is the most in both.
#
# Versions: clip-benchmark 1.6.2, torch 2.13.0, scikit-learn 1.9.1, numpy 2.2.6, Python 3.11.
#
# What happens instead: some names stand for two classes or more, in English "missile" and
# "sunglasses" (as in open_clip and in the notebook that CLIP came with), in Italian 19.
# One name makes one text and one classifier: of two such classes the second is never
# predicted, and each of its images is wrong. A language loses up to two points so that
# the model has no part in, and a class that no model can find looks like one that the
# model doesn't know. Nothing is raised or warned of. (Known upstream for English, and kept
# as others have published so: issue 124 of CLIP_benchmark, issue 917 of open_clip.)
#
# Seen, the accuracy of a model that gives each text its own feature, and each image that
# of its class's name:
#   en: 1000 classes, 998 names, accuracy 0.998
#   cn: 1000 classes, 999 names, accuracy 0.999
#   ar: 1000 classes, 996 names, accuracy 0.996
#   jp: 1000 classes, 991 names, accuracy 0.991
#   it: 1000 classes, 980 names, accuracy 0.980
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.13.0 scikit-learn==1.9.1 scipy==1.17.1 \
    tqdm==4.70.1 numpy==2.2.6
# with its other dependencies clip-benchmark is gigabytes, which names don't need
venv/bin/pip install -q --disable-pip-version-check --no-deps clip-benchmark==1.6.2
export TQDM_DISABLE=1

cat > names.py <<'PY'
import json
import sys
from importlib import resources

import torch
from clip_benchmark.metrics.zeroshot_classification import evaluate
from torch.utils.data import DataLoader, TensorDataset

classes, width = 1000, 256
features = torch.nn.functional.normalize(torch.randn(2 * classes, width, generator=torch.manual_seed(0)), dim=1)
ids = {}


class Faultless:
    """Each text has a feature of its own, and an image has that of its text."""

    def encode_text(self, tokens):
        return features[tokens]

    def encode_image(self, images):
        return features[images]


def tokenizer(texts):
    return torch.tensor([ids.setdefault(text, len(ids)) for text in texts])


seen = {}
for language in ("en", "cn", "ar", "jp", "it"):
    path = resources.files("clip_benchmark.datasets") / f"{language}_classnames.json"
    names = json.loads(path.read_text(encoding="utf-8"))["imagenet1k"]
    ids.clear()
    images = TensorDataset(tokenizer(names), torch.arange(classes))
    images.classes = names
    loader = DataLoader(images, batch_size=classes)
    measured = evaluate(Faultless(), loader, tokenizer, names, ["{c}"], "cpu", amp=False)
    seen[language] = (len(names), len(set(names)), round(measured["acc1"], 3))
    print("{}: {} classes, {} names, accuracy {:.3f}".format(language, *seen[language]))
if seen["en"] != (1000, 998, 0.998) or seen["it"] != (1000, 980, 0.98):
    sys.exit("the behaviour changed")
PY
venv/bin/python names.py
