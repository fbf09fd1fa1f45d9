#!/usr/bin/env bash
# torch: the cosine embedding loss of two equal float16 rows is 1.
#
# A competent person would guess: cosine_embedding_loss with target 1 is 1 minus
# cosine_similarity, of the same module. Equal rows have cosine 1 and loss 0 in any
# kind of float, and the rows' lengths have no say.
#
# Versions: torch 2.14.1, Python 3.11.
#
# What happens instead: the loss multiplies the two squared lengths in the kind of
# the input. In float16 the product is infinite from a length of 16 on (16⁴ =
# 65,536), the cosine becomes 0, and the loss 1, as for rows at right angles; the
# gradient is 0, so that nothing is learnt. Features that are not normalised may well
# be so long. cosine_similarity is right there, and so is the loss in bfloat16 and
# under autocast, which computes it in float32. Nothing is raised or warned of. From
# a length of 256 on the loss is NaN.
#
# Seen, of rows of 512 columns and the same rows:
#   float16, length 15:  cosine_similarity 1, loss 0
#   float16, length 17:  cosine_similarity 1, loss 1
#   float16, length 100: cosine_similarity 1, loss 1
#   bfloat16, length 17: cosine_similarity 1, loss 0
#   float32, length 17:  cosine_similarity 1, loss 0
#   rows that differ, length 17: largest gradient 0 in float16, 0.001 in float32
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.14.1 numpy==2.4.6

cat > loss.py <<'PY'
import sys
import warnings

import torch
from torch.nn.functional import cosine_embedding_loss, cosine_similarity, normalize

warnings.simplefilter("error")
torch.manual_seed(0)
rows, others = normalize(torch.randn(2, 8, 512), dim=-1)
same = torch.ones(8)
seen = []
for kind, length in (("float16", 15), ("float16", 17), ("float16", 100), ("bfloat16", 17), ("float32", 17)):
    features = (length * rows).to(getattr(torch, kind))
    cosine = cosine_similarity(features, features).mean().item()
    loss = cosine_embedding_loss(features, features, same).item()
    seen.append((round(cosine, 2), round(loss, 2)))
    where = f"{kind}, length {length}:"
    print(f"{where:<20} cosine_similarity {cosine:.0f}, loss {loss:.0f}")


def largest_gradient(kind):
    features = (17 * rows).to(kind).requires_grad_()
    cosine_embedding_loss(features, (17 * others).to(kind), same).backward()
    return features.grad.abs().max().item()


half, single = largest_gradient(torch.float16), largest_gradient(torch.float32)
print(f"rows that differ, length 17: largest gradient {half:.1g} in float16, {single:.1g} in float32")
if seen != [(1, 0), (1, 1), (1, 1), (1, 0), (1, 0)] or half != 0 or single == 0:
    sys.exit("the behaviour changed")
PY
venv/bin/python loss.py
