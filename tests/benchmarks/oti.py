"""OTI against the plain recipe, side by side: the same items, steps and start; full context, batch of 64.

python tests/benchmarks/oti.py [--model ViT-B-32] [--items 64] [--steps 20] [--rounds 2]
"""

from __future__ import annotations

import argparse
import warnings

import torch
from plain import compare, flops_a_step, items, matrix_rate, report, text_encoder

from crossgap.backbones import load_backbone
from crossgap.inversion.methods import Oti


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    backbone, method = load_backbone(given.model, None), Oti()
    plain, fast = text_encoder(backbone, method), method.inject(backbone)
    targets, initial = items(backbone, fast.shape, given.items)
    rate = matrix_rate(backbone.device)
    found = compare(plain, fast, targets, initial, given.steps, given.rounds)
    rate = max(rate, matrix_rate(backbone.device))
    flops = flops_a_step(plain, initial), flops_a_step(fast, initial)
    report(f"OTI, {given.model}, {given.items} items", found, flops, rate, given.steps)


if __name__ == "__main__":
    main()
