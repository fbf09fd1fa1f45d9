#!/usr/bin/env bash
# torch and oneDNN: float32 that torch is told to keep is rounded to bfloat16 by
# a variable of the environment.
#
# A competent person would guess: torch decides how float32 is computed. Who sets
# fp32_precision = "ieee" everywhere, and "highest" for products, has float32's
# 24 bits, whatever a container or a cluster's profile has in its environment.
#
# Versions: torch 2.14.1, Python 3.11.
#
# What happens instead: on a CPU, torch hands oneDNN an instruction only where it
# wants less than float32; otherwise oneDNN takes its own default, which is
# DNNL_DEFAULT_FPMATH_MODE (ONEDNN_DEFAULT_FPMATH_MODE). Guides to fast inference
# on ARM servers say to set it to BF16. Convolutions, such as the patch embedding
# of a CLIP's vision tower, then run in bfloat16 where the processor has it, with
# torch's settings reading "ieee" and "highest" throughout and no warning: the
# features of a store that says fp32 have 8 bits of precision in their first
# layer.
#
# Seen, on a Xeon with AMX (other processors: the same words, and 0 where they
# have no bfloat16):
#   the variable unset: torch says ieee, highest; oneDNN is told nothing
#   the variable BF16:  torch says ieee, highest; oneDNN is told bf16
#   patch embeddings apart by 2.9e-03 of the largest
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.14.1 numpy==2.4.6

cat > embed.py <<'PY'
import sys

import torch
from torch.nn.functional import conv2d

torch.backends.fp32_precision = "ieee"
torch.set_float32_matmul_precision("highest")
for backend in (torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul):
    backend.fp32_precision = "ieee"
said = torch.backends.mkldnn.conv.fp32_precision, torch.get_float32_matmul_precision()
draw = torch.Generator().manual_seed(0)
images = torch.randn(8, 3, 224, 224, generator=draw)
weight = torch.randn(64, 3, 32, 32, generator=draw)
torch.save(conv2d(images, weight, stride=32), sys.argv[1])
print("said", *said)
PY

run() { env -u ONEDNN_DEFAULT_FPMATH_MODE -u DNNL_DEFAULT_FPMATH_MODE ONEDNN_VERBOSE=1 "$@"; }
run venv/bin/python embed.py whole.pt > whole.txt
run DNNL_DEFAULT_FPMATH_MODE=BF16 venv/bin/python embed.py asked.pt > asked.txt

cat > compare.py <<'PY'
import torch


def told(path):
    lines = open(path).read().splitlines()
    (said,) = [line.split()[1:] for line in lines if line.startswith("said")]
    products = [line for line in lines if ",exec,cpu,convolution," in line]
    assert products, "torch took no convolution of oneDNN's"
    return said, all("attr-fpmath:bf16" in line for line in products)


found = {name: told(f"{name}.txt") for name in ("whole", "asked")}
for title, name in (("unset:", "whole"), ("BF16: ", "asked")):
    said, rounds = found[name]
    print(f"the variable {title} torch says {', '.join(said)}; oneDNN is told {'bf16' if rounds else 'nothing'}")
whole, asked = torch.load("whole.pt"), torch.load("asked.pt")
print(f"patch embeddings apart by {float((whole - asked).abs().max() / whole.abs().max()):.1e} of the largest")
assert found == {"whole": (["ieee", "highest"], False), "asked": (["ieee", "highest"], True)}, "it has changed"
PY
venv/bin/python compare.py
