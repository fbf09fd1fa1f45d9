"""OVI against the plain recipe, side by side: the same items, steps and start.

python tests/benchmarks/ovi.py [--model ViT-B-32] [--items 64] [--steps 5] [--patches 1]
"""

from __future__ import annotations

import argparse
import warnings

import torch
from plain import compare

from crossgap.backbones import load_backbone
from crossgap.backbones.injection import PseudoPatches
from crossgap.inversion.noise import initial_tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--patches", type=int, default=1)
    given = parser.parse_args()
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    backbone = load_backbone(given.model, None)
    fast = PseudoPatches(backbone, given.patches)
    visual = backbone.model.visual

    def plain(patches: torch.Tensor) -> torch.Tensor:
        positions = fast.grid.numel()
        x = torch.nn.functional.interpolate(
            patches.transpose(1, 2), size=positions, mode="nearest"
        ).transpose(1, 2)
        x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
        x = visual.transformer(visual.ln_pre(x))
        return visual.ln_post(x)[:, 0] @ visual.proj

    ids = [str(row) for row in range(given.items)]
    initial = torch.from_numpy(initial_tokens(ids, 0, fast.shape))
    targets = torch.randn(given.items, backbone.dim)
    compare(f"OVI, {given.model}, P = {given.patches}", plain, fast, targets, initial, given.steps)


if __name__ == "__main__":
    main()
