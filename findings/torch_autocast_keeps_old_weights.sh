#!/usr/bin/env bash
# torch: under autocast, a second checkpoint gives the features of the first.
#
# A competent person would guess: load_state_dict replaces the weights of a
# model, and what it computes next is by the new ones, whatever mode is on. So
# one block of autocast may stand around a loop over checkpoints (epochs, seeds,
# averages of two trainings) that encodes the same images with each.
#
# Versions: torch 2.14.1, Python 3.11.
#
# What happens instead: autocast keeps its bfloat16 copy of each weight until
# the block ends, and doesn't notice that load_state_dict, an optimiser's step or
# an average of weights writes other numbers into the weight. All checkpoints
# get the features of the first, without a warning. It depends on the smallest
# things: with torch.inference_mode in no_grad's place, or with weights that
# need no gradient, the second checkpoint gets its own.
#
# Seen:
#   weights after loading the second checkpoint:  those of the second
#   features under autocast and no_grad:          those of the first
#   the same, a block for each checkpoint:        those of the second
#   the same, inference_mode in place of no_grad: those of the second
#   the same, requires_grad_(False):              those of the second
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.14.1 numpy==2.4.6

cat > checkpoints.py <<'PY'
import sys
import warnings
from contextlib import nullcontext

import torch
from torch import nn

warnings.simplefilter("error")


def tower(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(48, 32), nn.GELU(), nn.Linear(32, 8))


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


checkpoints = [tower(1).state_dict(), tower(2).state_dict()]
images = torch.randn(4, 48)


def encoded(frozen=False, without_gradient=torch.no_grad, around=autocast, each=nullcontext):
    model, features = tower(0).requires_grad_(not frozen), []
    with around(), without_gradient():
        for checkpoint in checkpoints:
            model.load_state_dict(checkpoint)
            with each():
                features.append(model(images).float())
    return features, model


def alone(number):
    with autocast(), torch.no_grad():
        model = tower(0)
        model.load_state_dict(checkpoints[number])
        return model(images).float()


def whose(features):
    return next((name for name, number in (("first", 0), ("second", 1)) if torch.equal(features, alone(number))), "?")


together, model = encoded()
held = all(torch.equal(weight, checkpoints[1][name]) for name, weight in model.state_dict().items())
seen = {
    "weights after loading the second checkpoint:": "second" if held else "first",
    "features under autocast and no_grad:": whose(together[1]),
    "the same, a block for each checkpoint:": whose(encoded(around=nullcontext, each=autocast)[0][1]),
    "the same, inference_mode in place of no_grad:": whose(encoded(without_gradient=torch.inference_mode)[0][1]),
    "the same, requires_grad_(False):": whose(encoded(frozen=True)[0][1]),
}
for what, found in seen.items():
    print(f"{what:<45} those of the {found}")
if list(seen.values()) != ["second", "first", "second", "second", "second"]:
    sys.exit("the behaviour changed")
PY
venv/bin/python checkpoints.py
