"""The recipe of Cross the Gap as its text and code put it, and the comparison that the benchmarks share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class Timing:
    """Seconds a step and the final mean loss 1 − cosine."""

    step: float
    loss: float


def recipe(encode: Callable[[Tensor], Tensor], targets: Tensor, initial: Tensor, steps: int) -> Timing:
    """AdamW (lr 2e-2, weight decay 0.01) on the cosine embedding loss, averaged over the batch."""
    criterion = torch.nn.CosineEmbeddingLoss()
    same = torch.ones(1)
    tokens = torch.nn.Parameter(initial.clone())
    optimiser = torch.optim.AdamW([tokens], lr=2e-2, weight_decay=0.01)
    start = time.perf_counter()
    for _ in range(steps):
        optimiser.zero_grad()
        loss = criterion(normalize(encode(tokens), dim=-1), normalize(targets, dim=-1), same)
        loss.backward()
        optimiser.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        final = criterion(normalize(encode(tokens), dim=-1), normalize(targets, dim=-1), same)
    return Timing(seconds / steps, final.item())


def ours(encode: Callable[[Tensor], Tensor], targets: Tensor, initial: Tensor, steps: int) -> Timing:
    """The same items and steps by `crossgap.inversion`; the final evaluation is counted as ours."""
    from crossgap.inversion.optimise import Recipe, optimise

    start = time.perf_counter()
    _, _, losses = optimise(encode, targets, initial, Recipe(steps))
    return Timing((time.perf_counter() - start) / steps, losses.mean().item())


def matrix_rate() -> float:
    """This machine's rate of float32 matrix products, GFLOP/s: the best of five of 2048 × 2048."""
    x = torch.randn(2048, 2048)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        x @ x
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times[1:]) / 1e9


def compare(name: str, plain: Callable, fast: Callable, targets: Tensor, initial: Tensor, steps: int) -> None:
    """Both in turn, twice; print seconds a step, the ratio of the best, and the final losses."""
    print(f"{name}: {len(targets)} items, {steps} steps, {torch.get_num_threads()} threads, float32")
    print(f"matrix products here: {matrix_rate():.0f} GFLOP/s")
    runs = [(recipe(plain, targets, initial, steps), ours(fast, targets, initial, steps)) for _ in range(2)]
    theirs, mine = (min((run[side] for run in runs), key=lambda t: t.step) for side in (0, 1))
    print(f"plain recipe  {theirs.step:.3f} s a step, final loss {theirs.loss:.5f}")
    print(f"crossgap      {mine.step:.3f} s a step, final loss {mine.loss:.5f}")
    print(
        f"ratio         {theirs.step / mine.step:.1f}   difference of the losses {abs(theirs.loss - mine.loss):.1e}"
    )
