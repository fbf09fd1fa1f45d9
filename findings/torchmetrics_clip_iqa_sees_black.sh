#!/usr/bin/env bash
# torchmetrics: CLIP-IQA with one of OpenAI's models judges black pictures.
#
# A competent person would guess: CLIPImageQualityAssessment asks for images from 0 to 1,
# or for their range (data_range=255), and hands CLIP what CLIP was trained on. A white,
# a noisy and a black picture differ in brightness, whichever of its five models is named.
#
# Versions: torchmetrics 1.9.0, transformers 4.57.6, torch 2.14.1, Python 3.11. (With
# transformers 5, CLIP-IQA of torchmetrics 1.9.0 doesn't run.)
#
# What happens instead: images are divided by data_range, and then by 255 once more, by
# the processor of transformers. What was white reaches the model as 1/255: all pictures
# are black to it, and get one score. The one remedy is data_range=1/255 for images from 0
# to 1. The default model, "clip_iqa", takes another way. transformers logs one line, of
# do_rescale, which can't be set here.
#
# Seen, with weights drawn at random, of the lightest pixel that reaches the model (1 in a
# white picture) and of the scores for brightness:
#   images from 0 to 1:        lightest 0.004, black, noise, white 0.06 0.06 0.06
#   from 0 to 255, range 255:  lightest 0.004, black, noise, white 0.06 0.06 0.06
#   CLIP by itself:            lightest 1.000, black, noise, white 0.06 0.02 0.01
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torchmetrics==1.9.0 transformers==4.57.6 torch==2.14.1 \
    torchvision==0.29.1 pillow==13.0.0 numpy==2.4.6
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > quality.py <<'PY'
import json
import sys
import warnings
from pathlib import Path
from string import ascii_lowercase

import torch
from torchmetrics.multimodal import CLIPImageQualityAssessment
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

warnings.simplefilter("error")
letters = [*ascii_lowercase, "."]
tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
Path("vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
Path("merges.txt").write_text("#version: 0.2\n")
tower = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
# the ids are those of OpenAI's configurations
words = {"vocab_size": len(tokens), "bos_token_id": 0, "eos_token_id": 2}
torch.manual_seed(0)
# a folder here, with the name of a model that the metric knows
name = "openai/clip-vit-base-patch16"
CLIPModel(
    CLIPConfig(text_config={**tower, **words}, vision_config={**tower, "image_size": 32, "patch_size": 16})
).save_pretrained(name)
pixels = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
CLIPProcessor(pixels, CLIPTokenizer("vocab.json", "merges.txt", model_max_length=77)).save_pretrained(name)

noise = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
images = torch.stack([torch.zeros_like(noise), noise, torch.full_like(noise, 255)])
mean, std = (torch.tensor(values).view(3, 1, 1) for values in (pixels.image_mean, pixels.image_std))
metric = CLIPImageQualityAssessment(name, prompts=("brightness",))
reached = []
metric.model.vision_model.register_forward_pre_hook(
    lambda module, given, named: reached.append(named["pixel_values"] * std + mean), with_kwargs=True
)


def by_itself():
    with torch.no_grad():
        features = metric.model.get_image_features((images / 255 - mean) / std)
    features /= features.norm(dim=1, keepdim=True)
    return (100 * features @ metric.anchors.T).softmax(1)[:, 0]


ranged = CLIPImageQualityAssessment(name, data_range=255, prompts=("brightness",))
ranged.model = metric.model
seen = []
for what, judge in (
    ("images from 0 to 1:", lambda: metric(images / 255)),
    ("from 0 to 255, range 255:", lambda: ranged(images.float())),
    ("CLIP by itself:", by_itself),
):
    scores = [round(score, 2) for score in judge().tolist()]
    lightest = reached[-1].max().item()
    seen.append((round(lightest, 3), len(set(scores))))
    print(f"{what:<26} lightest {lightest:.3f}, black, noise, white", *scores)
if seen != [(0.004, 1), (0.004, 1), (1, 3)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python quality.py
