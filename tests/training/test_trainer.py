"""The loop that trainings share: its curves, its checkpoints, and where it stops."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from crossgap.training import scratch, trainer
from crossgap.training.trainer import Learner, TrainingError, deterministic, fit

STEPS = 20


class Stopped(Exception):
    """Something from outside ends a run."""


def make(at: Callable[[int], None] = lambda step: None, **more) -> Learner:
    """A regression in three weights, fresh; `at` is called in the middle of each step."""
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0, 0.5]]))
        model.bias.zero_()

    def gradients(step: int) -> dict[str, float]:
        x, y = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(step))
        loss = (model(x) - y.sum(dim=1, keepdim=True)).square().mean()
        loss.backward()
        at(step)
        return {"loss": loss.item(), "square": float(step**2)}

    return Learner(model, torch.optim.AdamW(model.parameters(), lr=0.05), gradients, **more)


def train(checkpoint: Path, at: Callable[[int], None] = lambda step: None, log=None, save_seconds=0.0):
    """The parameters and the curves of a run, with a rate and measures."""
    learner = make(at, rate=lambda step: 1 / (1 + step), clip_grad_norm=0.5)
    curves = fit(
        learner,
        STEPS,
        checkpoint,
        measure=lambda step: {"weight": learner.modules.weight[0, 0].item()},
        measured_at=(0, 3, 8, 9, STEPS),
        log=log,
        save_seconds=save_seconds,
    )
    return torch.cat([parameter.detach().flatten() for parameter in learner.modules.parameters()]), curves


def die(step: int) -> None:
    if step == 9:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def _few_points(monkeypatch) -> None:
    monkeypatch.setattr(trainer, "POINTS", 5)


def test_curves_are_means_between_rows_and_measures_where_asked(tmp_path) -> None:
    rows = []
    _, curves = train(tmp_path / "c.pt", log=lambda row: rows.append(dict(row)), save_seconds=1e9)
    assert rows == curves
    assert [row["step"] for row in curves] == [0, 3, 4, 8, 9, 12, 16, 20]
    assert [row["step"] for row in curves if "weight" in row] == [0, 3, 8, 9, 20]
    assert curves[0] == {"step": 0, "weight": 1.0}
    for row in curves:
        if row["step"] % 4 == 0 and row["step"]:
            of = range(row["step"] - 4, row["step"])
            assert row["square"] == sum(step**2 for step in of) / 4
            assert {"loss", "square"} <= row.keys()
        elif row["step"]:
            assert row.keys() == {"step", "weight"}
    uneven = fit(make(), 11, tmp_path / "uneven.pt")
    assert [row["step"] for row in uneven] == [2, 4, 6, 8, 10, 11]
    assert uneven[-1]["square"] == 100


def test_a_run_goes_on_where_another_that_trains_the_same_ends_first(tmp_path) -> None:
    """As a stage that lives on where its `dvc repro` was killed, and the one of the next `dvc repro`."""
    folder = scratch.folder(tmp_path, {"a": 1}, {"code": "x"})

    def ended(step: int) -> None:
        if step == 9:
            scratch.remove(folder)
            assert [path.suffix for path in folder.iterdir()] == [".tmp"], "the mark of the one that lives"

    found, _ = train(folder / scratch.CHECKPOINT, at=ended)
    alone, _ = train(tmp_path / "alone" / "c.pt")
    assert torch.equal(found, alone)
    scratch.remove(folder)
    scratch.remove(folder)
    assert not folder.exists()


def test_a_row_is_logged_when_nothing_joins_it_any_more(tmp_path) -> None:
    seen: list[int] = []
    at_step: dict[int, int] = {}
    train(
        tmp_path / "c.pt", at=lambda step: at_step.update({step: len(seen)}), log=lambda row: seen.append(row)
    )
    # in step 8 the row of 8 may have just got its measure; it is out before step 9
    assert at_step[8] in (3, 4) and at_step[9] >= 4 and at_step[19] == 7


@pytest.mark.parametrize("step", [0, 3, 8, 9, 10, STEPS - 1])
def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path, step) -> None:
    expected = train(tmp_path / "whole.pt", save_seconds=1e9)

    def stop(at: int) -> None:
        if at == step:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path / "c.pt", at=stop)
    assert (tmp_path / "c.pt").exists() == (step > 0)
    steps: list[int] = []
    rows: list[dict] = []
    found = train(tmp_path / "c.pt", at=steps.append, log=lambda row: rows.append(dict(row)))
    assert steps == list(range(step, STEPS))
    assert torch.equal(found[0], expected[0])
    assert found[1] == expected[1] == rows
    again: list[int] = []
    assert torch.equal(train(tmp_path / "c.pt", at=again.append)[0], expected[0])
    assert again == []  # all is done


def test_without_a_checkpoint_of_its_own_a_run_goes_back_to_the_last(tmp_path, monkeypatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(trainer.time, "monotonic", lambda: next(clock))
    steps: list[int] = []

    def stop(step: int) -> None:
        if step == 9:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path / "c.pt", at=stop, save_seconds=3.5)
    found = train(tmp_path / "c.pt", at=steps.append, save_seconds=1e9)
    assert 0 < steps[0] < 9
    expected = train(tmp_path / "whole.pt", save_seconds=1e9)
    assert torch.equal(found[0], expected[0]) and found[1] == expected[1]


def test_a_killed_run_ends_with_the_same_bits(tmp_path) -> None:
    expected = train(tmp_path / "whole.pt")
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import pathlib, test_trainer\n"
        "test_trainer.trainer.POINTS = 5\n"
        f"test_trainer.train(pathlib.Path({str(tmp_path / 'c.pt')!r}), at=test_trainer.die)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    steps: list[int] = []
    found = train(tmp_path / "c.pt", at=steps.append)
    assert steps[0] == 9
    assert torch.equal(found[0], expected[0]) and found[1] == expected[1]


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_no_number_stops_a_training_before_it_spoils_it(tmp_path, what, number) -> None:
    expected = train(tmp_path / "whole.pt", save_seconds=1e9)
    learner = make(rate=lambda step: 1 / (1 + step), clip_grad_norm=0.5)
    whole = learner.gradients

    def broken(step: int) -> dict[str, float]:
        values = whole(step)
        if step == 7 and what == "gradient":
            learner.modules.bias.grad.fill_(number)
        return {**values, "loss": number} if step == 7 and what == "loss" else values

    checkpoint = tmp_path / "c.pt"
    bad = Learner(learner.modules, learner.optimizer, broken, learner.rate, learner.clip_grad_norm)
    with pytest.raises(
        TrainingError, match=rf"^tried: .*{what}.* at step 7 of 20; .*{checkpoint.name}.*Lower lr"
    ):
        fit(bad, STEPS, checkpoint, label="tried", save_seconds=1e9)
    state = torch.load(checkpoint, weights_only=True)
    assert state["step"] == 7
    for name, value in learner.modules.state_dict().items():
        assert value.isfinite().all() and torch.equal(state["modules"][name], value)
    # with the cause gone, the training goes on as if nothing had been
    assert torch.equal(train(checkpoint)[0], expected[0])


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_last_step_that_leaves_no_numbers_is_told(tmp_path, number) -> None:
    for _ in range(2):
        learner = make()
        last = Learner(
            learner.modules,
            learner.optimizer,
            learner.gradients,
            after=lambda held=learner.modules.weight.data: held.fill_(number),
        )
        with pytest.raises(
            TrainingError, match=r"^tried: step 1 of 1 left weights that are not finite\. Lower lr"
        ):
            fit(last, 1, tmp_path / "c.pt", label="tried")


def test_a_checkpoint_that_goes_is_not_named(tmp_path) -> None:
    learner = make()
    bad = Learner(learner.modules, learner.optimizer, lambda step: {"loss": math.nan})
    with pytest.raises(TrainingError, match=r"^tried: the loss is nan at step 0 of 3\. Lower lr"):
        fit(bad, 3, tmp_path / "c.pt", kept=False, label="tried")


def test_rates_a_limit_on_the_norm_and_what_comes_after(tmp_path) -> None:
    p = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    q = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    modules = nn.ParameterList([p, q])

    def sgd() -> torch.optim.SGD:
        return torch.optim.SGD([{"params": [p], "lr": 1.0}, {"params": [q], "lr": 10.0}])

    def gradients(step: int) -> dict[str, float]:
        assert p.grad is None and q.grad is None  # only of this step
        p.grad, q.grad = torch.tensor([3.0, 0.0]).double(), torch.tensor([4.0]).double()
        return {"loss": 0.0}

    @torch.no_grad()
    def after() -> None:
        q.clamp_(-11, 11)

    learner = Learner(modules, sgd(), gradients, lambda step: 0.5**step, 1.0, after=after)
    fit(learner, 3, tmp_path / "c.pt")
    assert p[0].item() == pytest.approx(-0.6 * (1 + 0.5 + 0.25), rel=1e-5)  # 3/5, and the rates
    assert q.item() == -11  # 10 times 4/5 (1 + 0.5 + 0.25) is 14
    free = Learner(modules, sgd(), gradients)
    with torch.no_grad():
        p.zero_()
        q.zero_()
    fit(free, 2, tmp_path / "free.pt")
    assert p[0].item() == -6 and q.item() == -80


@pytest.mark.parametrize("before", [(False, False), (True, True), (True, False)])
def test_flags_of_determinism_are_put_back(before) -> None:
    def flags() -> tuple[bool, bool]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )

    ours = flags()
    try:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        with pytest.raises(Stopped), deterministic():
            assert flags() == (True, True)
            raise Stopped
        assert flags() == before
    finally:
        torch.use_deterministic_algorithms(ours[0], warn_only=ours[1])


def test_a_damaged_checkpoint_is_named_and_no_advice_of_torchs_passed_on(tmp_path) -> None:
    checkpoint = tmp_path / "c.pt"
    train(checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-200])
    with pytest.raises(TrainingError, match=r"c\.pt is damaged or cut short: remove it") as caught:
        train(checkpoint)
    assert "weights_only" not in str(caught.value) and checkpoint.exists()
