"""L-BFGS against BFGS with whole matrices, item by item, on losses whose every step can be followed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossgap.inversion.lbfgs import DECREASE, FIRST, NOISE, SHORTER, SHORTEST, Lbfgs

SIZE = 6
RNG = np.random.default_rng(0)
ROOTS = RNG.normal(size=(4, SIZE, SIZE))
HOLLOW = torch.from_numpy(ROOTS @ ROOTS.transpose(0, 2, 1) + np.eye(SIZE))
START = torch.from_numpy(RNG.normal(size=(4, 2, 3)))


def bowl(tokens: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
    """A convex loss an item, not quadratic."""
    x = tokens.flatten(1)
    return 0.5 * torch.einsum("ni,nij,nj->n", x, HOLLOW[rows], x) + (x**4).sum(dim=1)


def followed(loss, initial: torch.Tensor, steps: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Where the items are before each step and after the last, and where they look."""
    tokens = initial.clone().requires_grad_()
    optimiser, points, looks = Lbfgs(tokens, 1), [], []
    for _ in range(steps + 1):
        losses = loss(tokens)
        (gradient,) = torch.autograd.grad(losses.sum(), tokens)
        points.append(optimiser.at(losses[:, None], losses.detach(), gradient).tokens.clone())
        optimiser.move()
        looks.append(tokens.detach().clone())
    return points, looks


def bfgs(row: int, steps: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The same of one item, by the inverse matrix that the remembered steps give, formed anew each time."""
    hollow, x = HOLLOW[row].numpy(), START[row].flatten().numpy()

    def loss(x: np.ndarray) -> float:
        return 0.5 * x @ hollow @ x + (x**4).sum()

    def gradient(x: np.ndarray) -> np.ndarray:
        return hollow @ x + 4 * x**3

    def downhill() -> np.ndarray:
        if not pairs:
            return -FIRST * np.linalg.norm(x) / np.linalg.norm(gradient(x)) * gradient(x)
        move, change = pairs[-1]
        inverse = move @ change / (change @ change) * np.eye(SIZE)
        for move, change in pairs:
            turn = np.eye(SIZE) - np.outer(move, change) / (move @ change)
            inverse = turn @ inverse @ turn.T + np.outer(move, move) / (move @ change)
        return -inverse @ gradient(x)

    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    direction, length, points, looks = downhill(), 1.0, [x], [x + downhill()]
    for _ in range(steps):
        look = x + length * direction
        if loss(look) <= loss(x) + DECREASE * length * (gradient(x) @ direction) + NOISE:
            pairs.append((look - x, gradient(look) - gradient(x)))
            x, length = look, 1.0
            direction = downhill()
        else:
            length *= SHORTER
        points.append(x)
        looks.append(x + length * direction)
    return points, looks


def test_every_step_is_that_of_bfgs_with_whole_matrices() -> None:
    points, looks = followed(bowl, START, 15)
    for row in range(4):
        for ours, theirs in zip((points, looks), bfgs(row, 15), strict=True):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(one[row].flatten().numpy(), other, rtol=1e-6, atol=1e-9)


def test_the_least_loss_is_found() -> None:
    points, _ = followed(bowl, START, 60)
    assert bowl(points[0]).min() > 1 and bowl(points[-1]).max() < 1e-12


def test_an_item_is_optimised_as_if_alone() -> None:
    together, _ = followed(bowl, START, 20)
    for row in range(4):
        alone, _ = followed(lambda x, row=row: bowl(x, slice(row, row + 1)), START[row : row + 1], 20)
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one[row], other[0], rtol=1e-9, atol=1e-12)


def test_where_the_loss_does_not_fall_an_item_stays_and_at_last_forgets() -> None:
    """A wall before the second item: whatever it has learnt leads into it."""
    tokens, wall = START.clone(), torch.tensor([False, True, False, False])
    optimiser, steps = Lbfgs(tokens, 1), []
    for step in range(30):
        x = tokens.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(bowl(x).sum(), x)
        losses = torch.where(wall & (step > 5), 1e3, bowl(tokens))
        here = optimiser.at(losses[:, None], losses, gradient)
        steps.append(
            (here.tokens[1].clone(), float(optimiser.length[1]), bool(optimiser.inverses[:, 1].any()))
        )
        optimiser.move()
    assert all(torch.equal(held, steps[5][0]) for held, *_ in steps[5:])
    lengths = [length for _, length, _ in steps[5:]]
    assert lengths[:7] == pytest.approx([SHORTER**k for k in range(7)]) and min(lengths) >= SHORTEST * 0.99
    assert steps[5][2] and not steps[-1][2]
    assert bowl(optimiser.here.tokens)[[0, 2, 3]].max() < 1e-3


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_point_whose_gradient_is_not_finite_is_none(value) -> None:
    def at(spoilt: bool) -> tuple[torch.Tensor, ...]:
        x = tokens.clone().requires_grad_()
        losses = bowl(x)
        (gradient,) = torch.autograd.grad(losses.sum(), x)
        gradient[2, 0, 0] = value if spoilt else gradient[2, 0, 0]
        return losses.detach()[:, None], losses.detach(), gradient

    tokens = START.clone()
    assert Lbfgs(tokens, 1).at(*at(spoilt=True)).losses.isfinite().tolist() == [True, True, False, True]
    optimiser = Lbfgs(tokens, 1)
    first = optimiser.at(*at(spoilt=False))
    optimiser.move()
    second = optimiser.at(*at(spoilt=True))
    assert torch.equal(second.tokens[2], first.tokens[2]) and second.losses.isfinite().all()
    assert (second.losses < first.losses).tolist() == [True, True, False, True]
