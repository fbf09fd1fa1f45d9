"""OTI and OVI on a GPU: items a second, memory and share of peak, against the plain recipe in mixed precision.

The plain recipe runs in float16 autocast at a batch of 64, as the paper's code does; crossgap in float32 and bfloat16
at the batch size that it finds by itself. A whole recipe's time follows from a few of its steps.

python tests/benchmarks/gpu.py [--models ViT-B-32 ViT-L-14] [--steps 20] [--device cuda] [--matrix 8192]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import torch
from plain import encoder, flops_a_step, items, matrix_rate, ours, recipe, timed

from crossgap.backbones import load_backbone
from crossgap.inversion.batch_size import fitting
from crossgap.inversion.methods import Method, Oti, Ovi
from crossgap.inversion.recipes import PRESETS

PLAIN_BATCH = 64
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def measure(
    name: str,
    run: Callable[[int], float],
    batch: int,
    given: argparse.Namespace,
    whole: int,
    flops: float,
    peak: float,
) -> float:
    """Items a second of the whole recipe; a warm-up of two steps first."""
    run(2)
    on_gpu = given.place.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds, loss = timed(lambda: run(given.steps), given.place)
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:6.2f} GiB" if on_gpu else "     –    "
    rate = batch / (seconds / given.steps * whole)
    share = flops * given.steps / seconds / peak
    print(
        f"  {name:15} batch {batch:5} {rate:9.2f} items/s {memory} {share:5.0%} of peak, "
        f"loss after {given.steps} steps {loss:.5f}",
        flush=True,
    )
    return rate


def compare(model: str, method: Method, given: argparse.Namespace, peaks: dict[str, float]) -> None:
    whole = PRESETS[method.name]["paper"]["steps"]
    print(f"{method.name.upper()}, {model}, {whole} steps")
    rates = {}
    for precision in ("plain", *DTYPES):
        backbone = load_backbone(model, None, given.device, "fp32" if precision == "plain" else precision)
        injection = method.inject(backbone)
        if precision == "plain":
            encode, batch, peak = encoder(backbone, method), PLAIN_BATCH, peaks["bf16"]
        else:
            encode, peak = injection, peaks[precision]
            batch = given.batch or fitting(injection, backbone.device)
        targets, initial = items(backbone, injection.shape, batch)
        flops = flops_a_step(encode, initial[:2]) * batch / 2

        def run(steps: int, encode=encode, targets=targets, initial=initial, precision=precision) -> float:
            if precision == "plain":
                return recipe(encode, targets, initial, steps, given.half)
            return ours(encode, len(targets), targets, initial, steps)

        rates[precision] = measure(precision, run, batch, given, whole, flops, peak)
        del backbone, injection, encode, run
        if given.place.type == "cuda":
            torch.cuda.empty_cache()
    ratios = ", ".join(f"{name} {rates[name] / rates['plain']:.1f}" for name in DTYPES)
    print(f"  times the plain recipe: {ratios}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["ViT-B-32", "ViT-L-14"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, help="in place of the size that is found")
    parser.add_argument("--matrix", type=int, help="side of the products that the peak is measured by")
    given = parser.parse_args()
    given.place = torch.device(given.device)
    given.half = torch.float16 if given.place.type == "cuda" else torch.bfloat16
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    size = given.matrix or (8192 if given.place.type == "cuda" else 1024)
    peaks = {name: matrix_rate(given.place, dtype, size) for name, dtype in DTYPES.items()}
    where = torch.cuda.get_device_name() if given.place.type == "cuda" else "CPU"
    print(f"{where}: matrix products " + ", ".join(f"{n} {p / 1e12:.1f} TFLOP/s" for n, p in peaks.items()))
    for model in given.models:
        for method in (Oti(), Ovi()):
            compare(model, method, given, peaks)


if __name__ == "__main__":
    main()
