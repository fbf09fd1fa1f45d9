"""The loop that all trainings share: checkpoints to continue from, curves, and a stop where the loss is not finite.

A step must be a function of its number and of the parameters alone: a killed run then goes on from its last
checkpoint and ends with the same bits, on the same kind of machine with as many threads.
"""

from __future__ import annotations

import io
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crossgap.errors import CrossgapError, of_machine
from crossgap.progress import Bar
from crossgap.stores import temporary

POINTS = 200  # of a curve, roughly
_REMEDY = (
    "Lower lr; where there are such settings, raise the temperature, set clip_grad_norm or warm up for longer"
)

Row = dict[str, float]  # "step" and the values known at this step


class TrainingError(CrossgapError):
    """A training can't be done as asked, or can't go on; the message says what to change."""


@dataclass(frozen=True)
class Learner:
    """What a training learns, and how it takes one step.

    Attributes:
        modules: everything that learns; a checkpoint holds its state and the optimiser's.
        gradients: step → values to log, `loss` among them; leaves the gradients of that step, and only of it, in the
            parameters.
        rate: step → factor on the learning rates.
        clip_grad_norm: the largest norm of the gradients of a step, taken over the parameters `clipped`, or over all.
        after: called after each update, to bring parameters back into their range.
    """

    modules: nn.Module
    optimizer: torch.optim.Optimizer
    gradients: Callable[[int], Mapping[str, float]]
    rate: Callable[[int], float] | None = None
    clip_grad_norm: float | None = None
    clipped: Sequence[nn.Parameter] | None = None
    after: Callable[[], None] | None = None


def fit(
    learner: Learner,
    steps: int,
    checkpoint: Path,
    *,
    measure: Callable[[int], Mapping[str, float]] | None = None,
    measured_at: Iterable[int] = (),
    log: Callable[[Row], None] | None = None,
    save_seconds: float = 60,
    kept: bool = True,
    label: str = "training",
) -> list[Row]:
    """Train for `steps` steps, from the checkpoint if there is one.

    Args:
        checkpoint: its file, named after all that the training depends on; it is left there at the end.
        measure: called after as many steps as `measured_at` names; its values join the curves.
        log: called with every row of the curves, those of before a resumption too, in order.
        save_seconds: between two checkpoints; it changes no result.
        kept: whether the checkpoint is still there for those who read of an error.

    Returns:
        the curves, at most about `POINTS` rows and those measured: `step`, the number of steps done, and values, which
        are means over the steps since the row before.

    Raises:
        TrainingError: the loss or a gradient is not finite; the parameters of before that step are in the checkpoint.
            The last step leaves a parameter that is not finite. Or there is a damaged checkpoint.
    """
    curves = _Curves(log)
    optimizer, wanted = learner.optimizer, set(measured_at)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    clipped = learner.clipped or [p for group in optimizer.param_groups for p in group["params"]]
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    temporary.remove_leftovers(checkpoint.parent)
    start = _resume(checkpoint, learner, curves) if checkpoint.exists() else 0
    curves.emit(start)
    every = max(1, steps // POINTS)
    saved = time.monotonic()
    bar = Bar(range(start, steps), desc=label, unit="step", initial=start, total=steps, mininterval=1)
    with deterministic(), temporary.named(checkpoint.parent / "training") as mark:
        mark.touch()  # `crossgap clean` leaves the folder of a process that lives
        for step in bar:
            if measure and step in wanted:
                curves.join(measure(step), step)
            try:
                values = _take(step, learner, base_rates, clipped)
            except _NotFiniteError as error:
                _save(checkpoint, learner, curves, step)
                where = f"; the parameters of before it are in {checkpoint}" if kept else ""
                raise TrainingError(f"{label}: {error} at step {step} of {steps}{where}. {_REMEDY}") from None
            curves.add(values)
            if (step + 1) % every == 0 or step + 1 == steps:
                curves.join(curves.means(), step + 1)
                bar.set_postfix(loss=f"{curves.rows[-1]['loss']:.4g}", refresh=False)
            curves.emit(step + 1)
            if time.monotonic() - saved >= save_seconds and step + 1 < steps:
                _save(checkpoint, learner, curves, step + 1)
                saved = time.monotonic()
        if not all(one.isfinite().all() for one in learner.modules.parameters()):
            raise TrainingError(
                f"{label}: step {steps} of {steps} left weights that are not finite. {_REMEDY}"
            )
        if measure and steps in wanted:
            curves.join(measure(steps), steps)
        _save(checkpoint, learner, curves, steps)
    curves.emit(math.inf)
    return curves.rows


class _NotFiniteError(TrainingError):
    """The loss or the gradients of a step; the message says which."""


def _take(
    step: int, learner: Learner, base_rates: Sequence[float], clipped: Sequence[nn.Parameter]
) -> Mapping[str, float]:
    """Take a step; its values.

    Raises:
        _NotFiniteError: before the parameters are changed.
    """
    optimizer = learner.optimizer
    if learner.rate:
        for group, base in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = base * learner.rate(step)
    optimizer.zero_grad(set_to_none=True)
    values = learner.gradients(step)
    if not math.isfinite(values["loss"]):
        raise _NotFiniteError(f"the loss is {values['loss']}")
    norm = nn.utils.clip_grad_norm_(clipped, learner.clip_grad_norm or math.inf).item()
    if not math.isfinite(norm):
        raise _NotFiniteError(f"the gradients' norm is {norm}")
    optimizer.step()
    if learner.after:
        learner.after()
    return values


@dataclass
class _Curves:
    """The rows of the curves as they grow, and the sums over the steps since the last mean."""

    log: Callable[[Row], None] | None
    rows: list[Row] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    since: int = 0
    logged: int = 0

    def join(self, values: Mapping[str, float], step: int) -> None:
        """Add values to the row of a step."""
        if not self.rows or self.rows[-1]["step"] != step:
            self.rows.append({"step": step})
        self.rows[-1].update(values)

    def add(self, values: Mapping[str, float]) -> None:
        """Count the values of one more step."""
        self.since += 1
        for name, value in values.items():
            self.sums[name] += value

    def means(self) -> Row:
        """Over the steps since the last time."""
        found = {name: total / self.since for name, total in self.sums.items()}
        self.sums.clear()
        self.since = 0
        return found

    def emit(self, before: float) -> None:
        """Log the rows of steps before one, which nothing joins any more."""
        while self.log and self.logged < len(self.rows) and self.rows[self.logged]["step"] < before:
            self.log(self.rows[self.logged])
            self.logged += 1


def _save(checkpoint: Path, learner: Learner, curves: _Curves, step: int) -> None:
    buffer = io.BytesIO()
    state = {
        "modules": learner.modules.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "step": step,
        "history": curves.rows,
        "sums": dict(curves.sums),
        "since": curves.since,
    }
    torch.save(state, buffer)
    # another process that trained the same may have removed it
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    temporary.write(checkpoint, buffer.getbuffer())


def _resume(checkpoint: Path, learner: Learner, curves: _Curves) -> int:
    """Bring all back as `_save` has left it; the number of steps done."""
    state = _read(checkpoint)
    learner.modules.load_state_dict(state["modules"])
    learner.optimizer.load_state_dict(state["optimizer"])
    curves.rows, curves.since = state["history"], state["since"]
    curves.sums.update(state["sums"])
    return state["step"]


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # its text advises to load the file without any care
        if of_machine(error):
            raise
        raise TrainingError(
            f"the checkpoint {checkpoint} is damaged or cut short: remove it, and the training starts anew"
        ) from None


def rate(step: int, steps: int, warmup: int = 0, schedule: str = "cosine") -> float:
    """The factor on learning rates at a step: it rises over `warmup` steps, then stays (`constant`) or falls to 0."""
    rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
    falling = 1.0 if schedule == "constant" else 0.5 + 0.5 * math.cos(math.pi * step / steps)
    return min(rising, falling)


@contextmanager
def deterministic() -> Iterator[None]:
    """Use kernels that give the same bits for the same input; torch warns of those that can't."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
