"""The recipe of Cross the Gap as its text and code put it, and what the benchmarks of the inversions share."""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize
from torch.utils.flop_counter import FlopCounterMode

from crossgap.backbones import Backbone, load_backbone
from crossgap.backbones.injection import Injection
from crossgap.backbones.products import PACKED_LINEAR, frozen
from crossgap.inversion.batch_size import fitting
from crossgap.inversion.methods import Method, Oti, Ovi
from crossgap.inversion.noise import initial_tokens
from crossgap.inversion.optimise import optimise
from crossgap.inversion.recipes import Recipe

Encode = Callable[[Tensor], Tensor]


def encoder(backbone: Backbone, method: Method) -> Encode:
    """The tower that the method inverts into, as the paper's code computes it."""
    return text_encoder(backbone, method) if isinstance(method, Oti) else image_encoder(backbone, method)


def text_encoder(backbone: Backbone, method: Oti) -> Encode:
    """CLIP's text tower over its whole context; the template tokenised anew at every step, as in the paper's code."""
    model, template = backbone.model, method.template.format(" ".join(["x"] * method.tokens))
    filler = backbone.tokenizer("x")[0, 1].to(backbone.device)

    def encode(tokens: Tensor) -> Tensor:
        ids = backbone.tokenizer([template] * len(tokens)).to(tokens.device)
        x = model.token_embedding(ids)
        x = x.masked_scatter((ids == filler)[..., None], tokens.to(x.dtype)) + model.positional_embedding
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
        return x[torch.arange(len(x)), ids.argmax(dim=-1)] @ model.text_projection

    return encode


def image_encoder(backbone: Backbone, method: Ovi) -> Encode:
    """CLIP's ViT, all positions in all blocks."""
    visual = backbone.model.visual
    positions = len(visual.positional_embedding) - 1

    def encode(patches: Tensor) -> Tensor:
        x = interpolate(patches.transpose(1, 2), size=positions, mode="nearest").transpose(1, 2)
        x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
        x = visual.transformer(visual.ln_pre(x))
        return visual.ln_post(x)[:, 0] @ visual.proj

    return encode


def recipe(
    encode: Encode, targets: Tensor, initial: Tensor, steps: int, autocast: torch.dtype | None = None
) -> float:
    """AdamW (lr 2e-2, weight decay 0.01) on the cosine embedding loss of a batch, in mixed precision if a dtype is
    given; the final mean loss."""
    criterion, same = nn.CosineEmbeddingLoss(), torch.ones(1, device=targets.device)
    tokens = nn.Parameter(initial.clone())
    optimiser = torch.optim.AdamW([tokens], lr=2e-2, weight_decay=0.01)
    scaler = torch.amp.GradScaler(targets.device.type, enabled=autocast == torch.float16)

    def loss() -> Tensor:
        with torch.autocast(targets.device.type, autocast, enabled=autocast is not None):
            features = encode(tokens)
        return criterion(normalize(features.float(), dim=-1), normalize(targets, dim=-1), same)

    for _ in range(steps):
        optimiser.zero_grad()
        scaler.scale(loss()).backward()
        scaler.step(optimiser)
        scaler.update()
    with torch.no_grad():
        return loss().item()


def ours(injection: Injection, size: int, targets: Tensor, initial: Tensor, steps: int) -> float:
    """The same items and steps by `crossgap.inversion`, in even batches of at most this size; the final mean loss."""
    recipe, parts = Recipe(steps), math.ceil(len(targets) / size)
    cuts = zip(targets.tensor_split(parts), initial.tensor_split(parts), strict=True)
    return torch.cat([optimise(injection, *cut, recipe).losses for cut in cuts]).mean().item()


def items(backbone: Backbone, shape: tuple[int, int], count: int) -> tuple[Tensor, Tensor]:
    """Random targets `(n, d)` and the noise that pseudo-tokens start from `(n, *shape)`."""
    targets = torch.randn(count, backbone.dim, generator=torch.Generator().manual_seed(0))
    initial = torch.from_numpy(initial_tokens([str(row) for row in range(count)], 0, shape))
    return targets.to(backbone.device), initial.to(backbone.device)


def timed(work: Callable[[], float], device: torch.device) -> tuple[float, float]:
    """Seconds, and what the work gives."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    found = work()
    wait()
    return time.perf_counter() - start, found


def matrix_rate(device: torch.device, dtype: torch.dtype = torch.float32, size: int = 2048) -> float:
    """The rate of matrix products here, FLOP/s: the best of the ways that torch has for them."""
    x = torch.randn(size, size, device=device, dtype=dtype)
    packed = frozen(x)
    ways = (lambda: (x @ x)[0, 0].item(), lambda: packed(x)[0, 0].item())
    with torch.inference_mode():
        return 2 * size**3 / min(timed(way, device)[0] for _ in range(6) for way in ways)


def flops_a_step(encode: Encode, initial: Tensor) -> float:
    """Floating-point operations of one forward and backward pass, by the products' shapes."""

    def packed(x: list[int], weight: list[int], *_: object, out_shape: list[int], **__: object) -> int:
        return 2 * math.prod(x) * out_shape[-1]

    mapping = {PACKED_LINEAR: packed, PACKED_LINEAR.default: packed} if PACKED_LINEAR else {}
    counter = FlopCounterMode(display=False, custom_mapping=mapping)
    tokens = initial.clone().requires_grad_()
    with counter:
        torch.autograd.grad(encode(tokens).sum(), tokens)
    return counter.get_total_flops()


@dataclass(frozen=True)
class Comparison:
    """Both sides' seconds a step in each round, and their final losses."""

    plain: list[float]
    ours: list[float]
    losses: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Of the fastest rounds."""
        return min(self.plain) / min(self.ours)


def compare(
    plain: Encode, fast: Injection, targets: Tensor, initial: Tensor, steps: int, rounds: int
) -> Comparison:
    """The plain recipe and ours in turn, after a step of each to warm up; ours in batches of the size it finds."""
    sides = ([], [])
    mine = partial(ours, fast, fitting(fast, targets.device))
    for number in range(rounds + 1):
        count = steps if number else 1
        for side, run in zip(sides, (partial(recipe, plain), mine), strict=True):
            side.append(timed(partial(run, targets, initial, count), targets.device))
    seconds = [[time / steps for time, _ in side[1:]] for side in sides]
    return Comparison(*seconds, losses=(sides[0][-1][1], sides[1][-1][1]))


def report(name: str, found: Comparison, flops: tuple[float, float], rate: float, steps: int) -> None:
    """Print both sides, the ratio, and the share of the machine's matrix-product rate that is reached."""
    print(f"{name}, {steps} steps, {torch.get_num_threads()} threads, float32")
    print(f"matrix products here: {rate / 1e9:.0f} GFLOP/s")
    sides = (("plain recipe", found.plain), ("crossgap", found.ours))
    for (side, seconds), work, loss in zip(sides, flops, found.losses, strict=True):
        rounds = " ".join(f"{second:.3f}" for second in seconds)
        print(
            f"{side:13} {rounds} s a step, {work / 1e9:.0f} GFLOP a step, "
            f"{work / min(seconds) / rate:.0%} of that rate, final loss {loss:.5f}"
        )
    ratios = " ".join(f"{a / b:.1f}" for a, b in zip(found.plain, found.ours, strict=True))
    print(
        f"ratio         {found.ratio:.2f} (round by round: {ratios}), "
        f"difference of the losses {abs(found.losses[0] - found.losses[1]):.1e}"
    )


def arguments(description: str, steps: int, half: list[int]) -> argparse.ArgumentParser:
    """What the comparisons share on the command line; `steps` and `half` are their defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--items", type=int, default=64, help="of the plain recipe; 0 leaves it out")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--matrix", type=int, default=2048, help="side of the products for comparison")
    parser.add_argument("--half", type=int, nargs="*", default=half, help="items in bfloat16 against float32")
    return parser


def in_half(name: str, method: Method, count: int, given: argparse.Namespace) -> None:
    """Measure ours in bfloat16 and in float32 on the same random weights in turn, and print both and the ratio."""
    sides, seconds = {}, {"float32": [], "bfloat16": []}
    for kind, precision in zip(seconds, ("fp32", "bf16"), strict=True):
        backbone = loaded(given.model, precision)
        injection = method.inject(backbone)
        cut = items(backbone, injection.shape, count)
        sides[kind] = partial(ours, injection, fitting(injection, backbone.device), *cut)
    losses = {}
    for number in range(given.rounds + 1):
        for kind, run in sides.items():
            time, losses[kind] = timed(partial(run, given.steps if number else 1), backbone.device)
            if number:
                seconds[kind].append(time / given.steps)
    rounds = ", ".join(
        f"{kind} {' '.join(f'{second:.3f}' for second in each)}" for kind, each in seconds.items()
    )
    ratio = min(seconds["float32"]) / min(seconds["bfloat16"])
    print(
        f"{name}, {count} items, crossgap: {rounds} s a step, ratio {ratio:.2f}, difference of the losses "
        f"{abs(losses['float32'] - losses['bfloat16']):.1e}",
        flush=True,
    )


def loaded(model: str, precision: str = "fp32") -> Backbone:
    """The same random weights each time, unless the model brings its own."""
    torch.manual_seed(0)
    return load_backbone(model, None, precision=precision)


def side_by_side(name: str, method: Method, given: argparse.Namespace) -> None:
    """Measure the plain recipe and ours on a model of random weights, and print the report; then ours in half
    precision."""
    warnings.simplefilter("ignore")
    if given.items:
        against_plain(name, method, given)
    for count in given.half:
        in_half(name, method, count, given)


def against_plain(name: str, method: Method, given: argparse.Namespace) -> None:
    backbone = loaded(given.model)
    plain, fast = encoder(backbone, method), method.inject(backbone)
    targets, initial = items(backbone, fast.shape, given.items)
    rate = matrix_rate(backbone.device, size=given.matrix)
    found = compare(plain, fast, targets, initial, given.steps, given.rounds)
    rate = max(rate, matrix_rate(backbone.device, size=given.matrix))
    flops = flops_a_step(plain, initial), flops_a_step(fast, initial)
    report(f"{name}, {given.items} items", found, flops, rate, given.steps)
