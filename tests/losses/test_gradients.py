"""Gradients against finite differences and autograd of the plain formulas; large logits, half precision, blocks."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from crossgap import losses
from crossgap.losses import pairs

T, BIAS = 0.2, -3.0
CUAXU = dict.fromkeys(losses.SUMS["cuaxu"], 1.0)


def gradients(loss, x, y, t=T, b=BIAS, dtype=torch.float64):
    """The loss of normalised rows, and its gradients by the rows, the temperature and the bias."""
    numbers = [torch.tensor(value, dtype=dtype) for value in (t, b)]
    leaves = [leaf.detach().to(dtype).clone().requires_grad_() for leaf in (x, y, *numbers)]
    value = loss(normalize(leaves[0], dim=1), normalize(leaves[1], dim=1), *leaves[2:])
    return value.detach(), torch.autograd.grad(value, leaves, materialize_grads=True)


@pytest.mark.parametrize("name", losses.TERMS)
@pytest.mark.parametrize("elements", [1, 2**24])
def test_gradients_by_finite_differences(name, elements, batch, terms, monkeypatch):
    monkeypatch.setattr(pairs, "ELEMENTS", elements)
    numbers = [torch.tensor(value, dtype=torch.float64) for value in (T, BIAS)]
    leaves = [leaf.requires_grad_() for leaf in (*batch(5, 3), *numbers)]
    assert torch.autograd.gradcheck(terms[name][0], leaves)


@pytest.mark.parametrize("name", losses.TERMS)
@pytest.mark.parametrize("one_sided", [False, True])
def test_gradients_of_the_plain_formula(name, one_sided, batch, terms):
    ours, plain = terms[name]
    if one_sided:  # what isn't trained gets no gradient, and the other is not changed by that
        ours, plain = (lambda x, y, t, b, f=f: f(x, y.detach(), t, b) for f in (ours, plain))
    value, found = gradients(ours, *batch(40, 6))
    expected_value, expected = gradients(plain, *batch(40, 6))
    torch.testing.assert_close(value, expected_value, atol=1e-10, rtol=1e-10)
    for ours, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-10, rtol=1e-9)
    assert found[0].abs().max() > 1e-3
    learns = dict.fromkeys(("clip", "slip", "scaled_denominator"), (True, False)) | {"siglip": (True, True)}
    assert tuple(number.item() != 0 for number in found[2:]) == learns.get(name, (False, False))


@pytest.mark.parametrize("name", losses.TERMS)
def test_a_gradient_that_comes_in_is_multiplied(name, batch, terms):
    _, once = gradients(terms[name][0], *batch(6, 4))
    _, thrice = gradients(lambda *given: -3 * terms[name][0](*given), *batch(6, 4))
    for a, b in zip(once, thrice, strict=True):
        torch.testing.assert_close(b, -3 * a)


@pytest.mark.parametrize("name", losses.TERMS)
@pytest.mark.parametrize("elements", [1, 9 * 4, 18 * 5 + 1])
def test_blocks_change_nothing_beyond_rounding(name, elements, batch, terms, monkeypatch):
    value, whole = gradients(terms[name][0], *batch(9, 4))
    monkeypatch.setattr(pairs, "ELEMENTS", elements)
    again, parts = gradients(terms[name][0], *batch(9, 4))
    torch.testing.assert_close(again, value, atol=1e-13, rtol=1e-13)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(b, a, atol=1e-13, rtol=1e-12)


@pytest.mark.parametrize("name", ["clip", "slip", "siglip"])
@pytest.mark.parametrize("turned", [1, -1])
def test_a_temperature_of_a_hundredth_in_float32(name, turned, batch, terms):
    x, y = batch(64, 32)
    y = turned * y  # opposite pairs: the logits that matter are 200 below the others
    value, found = gradients(terms[name][0], x, y, t=0.01, b=-10.0, dtype=torch.float32)
    expected_value, expected = gradients(terms[name][1], x, y, t=0.01, b=-10.0)
    torch.testing.assert_close(value.double(), expected_value, rtol=1e-5, atol=1e-6)
    for ours, plain in zip(found, expected, strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours.double(), plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.parametrize("name", losses.TERMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(name, dtype, batch, terms):
    x, y = (rows.to(dtype).requires_grad_() for rows in batch(50, 24))
    value = terms[name][0](x, y, T, BIAS)
    full = [rows.detach().float().requires_grad_() for rows in (x, y)]
    expected = terms[name][0](*full, T, BIAS)
    assert value.dtype == torch.float32 and torch.equal(value, expected)
    found = torch.autograd.grad(value, [x, y])
    for ours, plain in zip(found, torch.autograd.grad(expected, full), strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, plain.to(dtype))


@pytest.mark.parametrize("name", losses.TERMS)
def test_autocast_changes_no_bit(name, batch, terms):
    x, y = batch(50, 24, torch.float32)

    def cast(*given):
        with torch.autocast("cpu", torch.bfloat16):
            assert (x @ y.T).dtype == torch.bfloat16
            return terms[name][0](*given)

    value, found = gradients(cast, x, y, dtype=torch.float32)
    expected_value, expected = gradients(terms[name][0], x, y, dtype=torch.float32)
    assert torch.equal(value, expected_value)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_without_gradients_and_a_second_time(batch, terms):
    x, y = (rows.requires_grad_() for rows in batch(8, 4))
    for name, (ours, _) in terms.items():
        with torch.no_grad():
            value = ours(x, y, T, BIAS)
        assert not value.requires_grad
        assert torch.equal(value, ours(x, y, T, BIAS)), name
    loss = losses.clip(x, y, T)
    first = torch.autograd.grad(loss, x, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, x)[0])
    with pytest.raises(RuntimeError, match="differentiable once: leave out create_graph"):
        torch.autograd.grad(losses.clip(x, y, T), x, create_graph=True)


def test_the_gradient_descends(batch):
    """Points on a circle spread until they stand evenly, and pairs meet."""
    z = torch.stack(batch(8, 2))
    for _ in range(1500):
        z = normalize(z, dim=2).detach().requires_grad_()
        loss, _ = losses.total(CUAXU, *z, temperature=0.5)
        z = z - 0.1 * torch.autograd.grad(loss, z)[0]
    images, texts = normalize(z, dim=2)
    assert losses.alignment(images, texts) < 1e-3
    angles = torch.atan2(images[:, 1], images[:, 0]).sort().values
    torch.testing.assert_close(
        angles.diff(), torch.full((7,), torch.pi / 4, dtype=torch.float64), atol=0.02, rtol=0
    )
