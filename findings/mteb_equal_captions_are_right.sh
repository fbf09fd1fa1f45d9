#!/usr/bin/env bash
# MTEB: a model that doesn't see the order of words is always right in SugarCrepe.
#
# A competent person would guess: SugarCrepe and ARO ask which of some captions fits an
# image: the right one, or one with words moved or replaced. A model to which the same
# words in another order are the same text can't tell them apart, and is right as often
# as by chance. (MTEB's own description of SugarCrepe says so, and that such a model gets
# 0.962 at most.)
#
# Versions: mteb 2.26.24, torch 2.14.1, datasets 5.2.0, Python 3.11.
#
# What happens instead: the right caption is always the first, and of equal scores the
# first is taken. Where a model scores right and wrong captions alike, it is always right:
# a bag of words gets text_acc 1, the main score, on captions that differ by order alone,
# and so does a model that gives all texts one feature. In bfloat16 many captions that
# differ by little score alike, so that the same model gets more than in float32. Nothing
# is raised or warned of. (The image_caption_selection of clip_benchmark 1.6.2 does so,
# too.)
#
# Seen, text_acc of 500 images, each with a caption and the same words in another order
# (two captions: chance is 0.5):
#   no order:                              1.00
#   no order, the captions changed about:  1.00
#   order as faint noise, in float32:      0.54
#   order as faint noise, in bfloat16:     0.70
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check mteb==2.26.24 datasets==5.2.0 torch==2.14.1 \
    torchvision==0.29.1 pillow==13.0.0 numpy==2.4.6
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 HF_HOME="$tmp/hub" MTEB_CACHE="$tmp/mteb" TQDM_DISABLE=1

cat > order.py <<'PY'
import sys
import warnings
import zlib

import datasets
import mteb
import numpy as np
import torch
from PIL import Image

warnings.simplefilter("error")
words = ["a", "big", "blue", "cat", "chases", "the", "small", "brown", "dog"]
random = np.random.default_rng(0)
rows = {"images": [], "caption": [], "negative_caption": []}
for _ in range(500):
    rows["images"].append(Image.new("RGB", (8, 8), (int(random.integers(64)), 0, 0)))
    rows["caption"].append(" ".join(random.permutation(words)))
    rows["negative_caption"].append(" ".join(random.permutation(words)))
rows = datasets.Dataset.from_dict(rows)


def drawn(name):
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(64)


class Model:
    mteb_model_meta = mteb.models.ModelMeta.create_empty({"modalities": ["image", "text"]})

    def __init__(self, noise, dtype):
        self.noise, self.dtype = noise, dtype

    def encode(self, batches, **settings):
        features = []
        for batch in batches:
            for text in batch.get("text", []):
                bag = sum(drawn(word) for word in sorted(text.split()))
                features.append(bag + self.noise * drawn(text))
            features.extend(np.eye(64)[image.getpixel((0, 0))[0]] for image in batch.get("image", []))
        return torch.tensor(np.stack(features)).to(self.dtype)

    def similarity(self, ours, theirs):
        return ours @ theirs.T

    def similarity_pairwise(self, ours, theirs):
        return (ours * theirs).sum(1)


def score(model, columns=("caption", "negative_caption")):
    task = mteb.get_task("SugarCrepe")
    task.dataset, task.data_loaded, task.texts_column_names = {"test": rows}, True, columns
    result = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    return result.task_results[0].scores["test"][0]["main_score"]


bag = Model(0, torch.float32)
seen = {
    "no order": score(bag),
    "no order, the captions changed about": score(bag, ("negative_caption", "caption")),
    "order as faint noise, in float32": score(Model(0.01, torch.float32)),
    "order as faint noise, in bfloat16": score(Model(0.01, torch.bfloat16)),
}
for name, value in seen.items():
    print(f"{name + ':':<38} {value:.2f}")
first, changed, exact, coarse = seen.values()
if not (first == changed == 1 and abs(exact - 0.5) < 0.07 and coarse > exact + 0.1):
    sys.exit("the behaviour changed")
PY
venv/bin/python order.py
