"""The loop alone, on a map whose every step can be followed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossgap.inversion import optimise as module
from crossgap.inversion.optimise import optimise
from crossgap.inversion.recipes import OPTIMISERS, Recipe

MIX = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def encode(tokens: torch.Tensor) -> torch.Tensor:
    return torch.tanh(tokens.flatten(1) @ MIX)


def start(items: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(items, 5, generator=rng), 0.02 * torch.randn(items, 2, 3, generator=rng)


def adamw_by_hand(targets: torch.Tensor, initial: torch.Tensor, recipe: Recipe) -> list[torch.Tensor]:
    """Tokens before each step and after the last, in float64, from the definition of AdamW."""
    tokens, first, second = initial.double(), 0.0, 0.0
    seen = [tokens]
    for step in range(1, recipe.steps + 1):
        x = tokens.clone().requires_grad_()
        cosines = torch.cosine_similarity(torch.tanh(x.flatten(1) @ MIX.double()), targets.double())
        (gradient,) = torch.autograd.grad((1 - cosines).sum(), x)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        tokens = tokens * (1 - recipe.lr * recipe.weight_decay)
        tokens = tokens - recipe.lr * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        seen.append(tokens)
    return seen


def test_every_step_is_adamws() -> None:
    targets, initial = start()
    recipe = Recipe(30, lr=0.05, weight_decay=0.3, snapshots=range(31), snapshot_tokens=True)
    found = optimise(encode, targets, initial, recipe)
    for step, wanted in enumerate(adamw_by_hand(targets, initial, recipe)):
        torch.testing.assert_close(found.snapshot_tokens[:, step].double(), wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.snapshots[:, step], encode(wanted.float()), rtol=1e-4, atol=1e-5)
    assert (found.tokens - initial).abs().max() > 0.3
    torch.testing.assert_close(found.losses, 1 - torch.cosine_similarity(found.features, targets))
    assert torch.equal(found.snapshots[:, -1], found.features) and (found.steps == 30).all()


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_snapshots_are_what_a_run_of_so_many_steps_ends_with(optimiser) -> None:
    targets, initial = start()
    found = optimise(encode, targets, initial, Recipe(20, snapshots=[0, 4, 20, 50], optimiser=optimiser))
    assert found.snapshots.shape == (8, 3, 5) and found.snapshot_tokens.shape == (8, 0, 2, 3)
    assert torch.equal(found.snapshots[:, 0], encode(initial))
    short = optimise(encode, targets, initial, Recipe(4, optimiser=optimiser))
    assert torch.equal(found.snapshots[:, 1], short.features)
    assert torch.equal(found.snapshot_losses[:, 1], short.losses)
    assert short.snapshots.shape == (8, 0, 5)


def test_gradients_of_the_size_of_adamws_eps_do_not_feel_the_batch() -> None:
    rng = torch.Generator().manual_seed(0)
    base, mix = torch.randn(64, 5, generator=rng), 1e-7 * torch.randn(3, 5, generator=rng)
    targets, initial = torch.randn(64, 5, generator=rng), torch.zeros(64, 1, 3)
    recipe = Recipe(steps=4)
    whole = optimise(lambda tokens: base + tokens[:, 0] @ mix, targets, initial, recipe).tokens
    alone = optimise(lambda tokens: base[:1] + tokens[:, 0] @ mix, targets[:1], initial[:1], recipe).tokens
    torch.testing.assert_close(whole[:1], alone, rtol=1e-3, atol=1e-6)
    assert alone.abs().min() > 0.01


def stops_at(losses: np.ndarray, recipe: Recipe) -> int:
    """The step at which an item with these losses stops, by the words of the option."""
    best, since = np.inf, 0
    for step in range(recipe.steps):
        if losses[step] < best - recipe.tolerance:
            best, since = losses[step], step
        if step - since >= recipe.patience:
            return step
    return recipe.steps


@pytest.mark.parametrize("settings", [{"lr": 0.1}, {"optimiser": "lbfgs"}])
def test_an_item_stops_once_its_loss_no_longer_falls(settings) -> None:
    targets, initial = start()
    recipe = Recipe(60, patience=3, tolerance=0.01, snapshots=[2, 10, 40], **settings)
    whole = optimise(encode, targets, initial, Recipe(60, snapshots=range(61), **settings))
    found = optimise(encode, targets, initial, recipe)
    wanted = [stops_at(row, recipe) for row in whole.snapshot_losses.numpy()]
    assert found.steps.tolist() == wanted and len(set(wanted)) > 3
    for row, step in enumerate(wanted):
        torch.testing.assert_close(found.features[row], whole.snapshots[row, step])
        torch.testing.assert_close(found.losses[row], whole.snapshot_losses[row, step])
        for number, snapshot in enumerate(recipe.snapshots):
            torch.testing.assert_close(
                found.snapshots[row, number], whole.snapshots[row, min(snapshot, step)]
            )
    torch.testing.assert_close(encode(found.tokens), found.features)


def test_when_all_have_stopped_nothing_more_is_computed() -> None:
    targets, initial = start()
    calls = []

    def counting(tokens: torch.Tensor) -> torch.Tensor:
        calls.append(len(tokens))
        return encode(tokens)

    found = optimise(counting, targets, initial, Recipe(500, patience=2, tolerance=0.5))
    # the batch keeps its shape, and with it every item its bits, until the last item has stopped
    assert (found.steps < 20).all() and calls == [8] * (int(found.steps.max()) + 1)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("patience", [None, 5])
def test_an_item_that_breaks_down_leaves_the_others_alone(patience, optimiser) -> None:
    targets, initial = start()

    def breaking(tokens: torch.Tensor) -> torch.Tensor:
        # items that start with this mark lose their gradient to infinity
        return encode(tokens) + torch.where(tokens.detach()[:, 0, :1] > 9, torch.inf, 0.0)

    recipe = Recipe(12, patience=patience, optimiser=optimiser)
    marked = initial.clone()
    marked[[2, 5]] = 10.0
    found = optimise(breaking, targets, marked, recipe)
    assert torch.isfinite(found.losses).tolist() == [row not in (2, 5) for row in range(8)]
    rest = [row for row in range(8) if row not in (2, 5)]
    alone = optimise(encode, targets[rest], initial[rest], recipe)
    torch.testing.assert_close(found.tokens[rest], alone.tokens)
    torch.testing.assert_close(found.losses[rest], alone.losses)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_replayed_graph_writes_into_the_same_tensors_and_changes_nothing(monkeypatch, optimiser) -> None:
    targets, initial = start()
    recipe = Recipe(20, snapshots=[0, 4, 20], snapshot_tokens=True, patience=5, optimiser=optimiser)
    wanted = optimise(encode, targets, initial, recipe)

    def captured(passes, _device):
        held = [torch.empty_like(found, requires_grad=False) for found in passes()]

        def replay() -> tuple[torch.Tensor, ...]:
            return tuple(place.copy_(found.detach()) for place, found in zip(held, passes(), strict=True))

        return replay

    monkeypatch.setattr(module, "worth_capturing", lambda *_: True)
    monkeypatch.setattr(module, "captured", captured)
    found = optimise(encode, targets, initial, recipe)
    for name, held in vars(wanted).items():
        assert torch.equal(getattr(found, name), held), name
