#!/usr/bin/env bash
# open_clip and transformers: one vocabulary, two readings of a curly apostrophe.
#
# A competent person would guess: CLIPTokenizer of transformers and the tokenizer
# of open_clip are two builds of the one tokenizer of CLIP. With the same byte
# pairs a plain English caption has the same ids in both, and so features that
# were made with either may be compared.
#
# Versions: open_clip_torch 3.3.0, transformers 5.9.0, torch 2.14.1, Python 3.11.
#
# What happens instead: open_clip mends its text first (ftfy, then HTML
# entities): curly quotes become straight ones, "&amp;" becomes "&". transformers
# does neither, with ftfy installed too, and reads a curly quote as two odd
# tokens. Captions from the web and from word processors are full of both.
#
# Seen:
#   "the dog's ball": same ids
#   "the dog’s ball": open_clip the dog 's ball, transformers the dog âĢ Ļ s ball
#   "salt &amp; pepper": open_clip salt & pepper, transformers salt & amp ; pepper
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check open_clip_torch==3.3.0 timm==1.0.31 \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 transformers==5.9.0
export HF_HUB_OFFLINE=1

cat > ids.py <<'PY'
import gzip
import sys

from open_clip.tokenizer import SimpleTokenizer, default_bpe
from transformers import CLIPTokenizer

ours = SimpleTokenizer()
names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
vocabulary = {names.get(token, token): number for token, number in ours.encoder.items()}
with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
    lines = file.read().split("\n")[1 : 49152 - 256 - 2 + 1]
theirs = CLIPTokenizer(vocab=vocabulary, merges=[tuple(line.split()) for line in lines])


def words(numbers):
    return " ".join(ours.decoder[number].removesuffix("</w>") for number in numbers)


seen = []
for text in ("the dog's ball", "the dog\u2019s ball", "salt &amp; pepper"):
    a, b = ours.encode(text), theirs(text)["input_ids"][1:-1]
    seen.append(a == b)
    print(f'"{text}":', "same ids" if a == b else f"open_clip {words(a)}, transformers {words(b)}")
if seen != [True, False, False]:
    sys.exit("the behaviour changed")
PY
venv/bin/python ids.py
