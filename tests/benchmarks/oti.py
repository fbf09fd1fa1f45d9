"""OTI against the plain recipe, side by side: the same items, steps and start; full context, batch of 64.

python tests/benchmarks/oti.py [--model ViT-B-32] [--items 64] [--steps 5]
"""

from __future__ import annotations

import argparse
import warnings

import torch
from plain import compare

from crossgap.backbones import load_backbone
from crossgap.backbones.injection import PseudoText
from crossgap.inversion.noise import initial_tokens

TEMPLATE = "a photo of {}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    given = parser.parse_args()
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    backbone = load_backbone(given.model, None)
    fast = PseudoText(backbone, TEMPLATE, 1)
    model = backbone.model

    def plain(tokens: torch.Tensor) -> torch.Tensor:
        # the paper's code tokenises the template anew at every step and computes all positions
        ids = backbone.tokenizer([TEMPLATE.format("x")] * len(tokens))
        x = model.token_embedding(ids).clone()
        x[:, fast.slots] = tokens
        x = model.ln_final(model.transformer(x + model.positional_embedding, attn_mask=model.attn_mask))
        return x[torch.arange(len(x)), ids.argmax(dim=-1)] @ model.text_projection

    ids = [str(row) for row in range(given.items)]
    initial = torch.from_numpy(initial_tokens(ids, 0, fast.shape))
    targets = torch.randn(given.items, backbone.dim)
    compare(f"OTI, {given.model}", plain, fast, targets, initial, given.steps)


if __name__ == "__main__":
    main()
