from __future__ import annotations

import pytest
import torch

from crossgap.backbones import products
from crossgap.backbones.products import frozen


@pytest.fixture(autouse=True, params=[0, products.PACKED_FROM], ids=["packed", "by size"])
def packed_from(request, monkeypatch) -> None:
    monkeypatch.setattr(products, "PACKED_FROM", request.param)


@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5), (1, 1, 5), (1, 5)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_frozen_product_and_its_gradient_are_the_linear_layers(shape, with_bias) -> None:
    rng = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(6, 5, generator=rng), torch.randn(6, generator=rng) if with_bias else None
    results = []
    for product in (frozen(weight, bias), lambda x: torch.nn.functional.linear(x, weight, bias)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = product(x)
        results.append((y.detach(), torch.autograd.grad(y.sin().sum(), x)[0]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-5)


def test_layouts_other_than_rows_in_order_are_understood() -> None:
    weight, x = torch.randn(6, 5), torch.randn(5, 4, 3).permute(2, 1, 0)
    torch.testing.assert_close(frozen(weight.t().contiguous().t())(x), x @ weight.t(), rtol=1e-5, atol=1e-5)
    x = torch.randn(4, 10)[:, ::2].requires_grad_()
    y = frozen(weight)(x)
    (gradient,) = torch.autograd.grad(y.expand(2, *y.shape).sum(), x)
    torch.testing.assert_close(gradient, 2 * weight.sum(0).expand(4, 5), rtol=1e-5, atol=1e-5)


def test_other_precisions_are_computed_as_they_are() -> None:
    weight, x = torch.randn(6, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    assert torch.equal(frozen(weight)(x), torch.nn.functional.linear(x, weight))


@pytest.mark.parametrize("knows", [True, False])
def test_bfloat16_is_packed_where_the_processor_multiplies_it_and_right_anywhere(knows, monkeypatch) -> None:
    if not knows:
        monkeypatch.setattr(products, "_HALF", lambda: False)
    rng = torch.Generator().manual_seed(0)
    weight, bias = (torch.randn(shape, generator=rng).bfloat16() for shape in ((6, 5), (6,)))
    x = torch.randn(4, 5, generator=rng).bfloat16().requires_grad_()
    assert not products._packs(weight) or knows
    y = frozen(weight, bias)(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(
        y.double(), x.double() @ weight.double().t() + bias.double(), rtol=8e-3, atol=8e-3
    )
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient[0].double(), weight.double().sum(0), rtol=8e-3, atol=8e-3)


def test_large_weights_are_packed_and_small_ones_are_not(monkeypatch) -> None:
    monkeypatch.setattr(products, "PACKED_FROM", 1 << 17)
    packed = []
    monkeypatch.setattr(
        products, "_packs", lambda w, judge=products._packs: packed.append(judge(w)) or packed[-1]
    )
    for width in (128, 512):
        weight, x = torch.randn(512, width), torch.randn(3, width)
        torch.testing.assert_close(frozen(weight)(x), x @ weight.t(), rtol=1e-4, atol=1e-4)
    assert packed == [False, torch.backends.mkldnn.is_available()]


def test_without_its_operators_the_product_is_torchs(monkeypatch) -> None:
    monkeypatch.setattr(products, "_PACK", None)
    weight, x = torch.randn(6, 5), torch.randn(4, 5)
    assert torch.equal(frozen(weight)(x), torch.nn.functional.linear(x, weight))


def test_without_onednn_the_product_is_torchs(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    weight, x = torch.randn(6, 5), torch.randn(4, 5)
    assert torch.equal(frozen(weight)(x), torch.nn.functional.linear(x, weight))
