#!/usr/bin/env bash
# timm: class 2 of a folder of images is class 4 of torchvision.
#
# A competent person would guess: a folder of class folders is one dataset, whoever reads
# it. timm's create_dataset and the ImageFolder of torchvision number its classes by
# their sorted names, so that labels, heads and lists of class names fit both.
#
# Versions: timm 1.0.31, torchvision 0.29.1, torch 2.14.1, pillow 13.0.0, Python 3.11.
#
# What happens instead: timm sorts as people count (2 before 10) and takes capitals for
# small letters, torchvision sorts letter by letter (10 before 2, Zebra before apple).
# Up to ten classes named by numbers, or names that are all small, they agree; beyond,
# nearly every class has another, valid label. A head or features of the one and labels
# of the other are accuracy by chance. ImageNet-V2, whose folders are 0 to 999, is such a
# dataset: there timm's labels are ImageNet's, and torchvision's are not. Nothing is
# raised or warned of.
#
# Seen, names of the folders in the order of their labels:
#   0 to 9,  timm:        0 1 2 3 4 5 6 7 8 9
#   0 to 9,  torchvision: 0 1 2 3 4 5 6 7 8 9
#   0 to 11, timm:        0 1 2 3 4 5 6 7 8 9 10 11
#   0 to 11, torchvision: 0 1 10 11 2 3 4 5 6 7 8 9
#   animals, timm:        apple_snail Zebra
#   animals, torchvision: Zebra apple_snail
#   labels of the same images that agree, of 0 to 999: 12 of 1000
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check timm==1.0.31 torch==2.14.1 torchvision==0.29.1 \
    numpy==2.4.6 pillow==13.0.0
export HF_HUB_OFFLINE=1

cat > classes.py <<'PY'
import sys
import warnings
from pathlib import Path

from PIL import Image
from timm.data import create_dataset
from torchvision.datasets import ImageFolder

warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=ResourceWarning)  # timm leaves closing files to Python


def labels(root, names):
    for name in names:
        Path(root, name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(Path(root, name, "image.png"))
    timm = create_dataset("", root)
    by_file = {timm.filename(row, absolute=True): timm[row][1] for row in range(len(timm))}
    torchvision = dict(ImageFolder(root).samples)
    return [{Path(file).parent.name: label for file, label in one.items()} for one in (by_file, torchvision)]


seen = []
few, more, animals = [str(n) for n in range(10)], [str(n) for n in range(12)], ["Zebra", "apple_snail"]
for what, names in (("0 to 9", few), ("0 to 11", more), ("animals", animals)):
    for library, numbers in zip(("timm", "torchvision"), labels(what, names), strict=True):
        seen.append(" ".join(sorted(numbers, key=numbers.get)))
        print(f"{f'{what},':<8} {f'{library}:':<12} {seen[-1]}")
timm, torchvision = labels("0 to 999", [str(n) for n in range(1000)])
agree = sum(timm[name] == torchvision[name] for name in timm)
print(f"labels of the same images that agree, of 0 to 999: {agree} of {len(timm)}")
right = [few, few, more, sorted(more), animals[::-1], animals]
if seen != [" ".join(names) for names in right] or agree > 20:
    sys.exit("the behaviour changed")
PY
venv/bin/python classes.py
