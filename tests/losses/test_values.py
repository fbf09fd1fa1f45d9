"""Losses pair by pair in Python's own numbers, against open_clip's, and what must hold of any batch."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import assume, settings
from hypothesis import given as drawn
from hypothesis import strategies as st
from open_clip import ClipLoss
from open_clip.loss import SigLipLoss
from torch.nn.functional import normalize

from crossgap import losses
from crossgap.metrics import gap

T, BIAS = 0.2, -3.0
ROWS = list[list[float]]


def dot(a: list[float], b: list[float]) -> float:
    return math.fsum(p * q for p, q in zip(a, b, strict=True))


def potential(a: list[float], b: list[float]) -> float:
    return math.exp(-2 * math.dist(a, b) ** 2)


def mean(values) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def clip(x: ROWS, y: ROWS) -> float:
    def found(queries, gallery):
        for j, query in enumerate(queries):
            everything = math.fsum(math.exp(dot(query, row) / T) for row in gallery)
            yield -math.log(math.exp(dot(query, gallery[j]) / T) / everything)

    return (mean(found(x, y)) + mean(found(y, x))) / 2


def uniformity(x: ROWS) -> float:
    return math.log(mean(potential(x[j], x[k]) for k in range(len(x)) for j in range(k)))


def cross_uniformity(x: ROWS, y: ROWS) -> float:
    n = len(x)
    return math.log(mean(potential(x[j], y[k]) for j in range(n) for k in range(n) if j != k))


def alignment(x: ROWS, y: ROWS) -> float:
    return mean(math.dist(a, b) ** 2 for a, b in zip(x, y, strict=True))


def slip(x: ROWS, y: ROWS) -> float:
    views = [(j, view) for rows in (x, y) for j, view in enumerate(rows)]

    def found():
        for at, (j, view) in enumerate(views):
            others = [(k, math.exp(dot(view, v) / T)) for to, (k, v) in enumerate(views) if to != at]
            (partner,) = (value for k, value in others if k == j)
            yield -math.log(partner / math.fsum(value for _, value in others))

    return mean(found())


def cyclic_in_modal(x: ROWS, y: ROWS) -> float:
    n = len(x)
    return mean(math.fsum((dot(x[j], x[k]) - dot(y[j], y[k])) ** 2 for k in range(n)) for j in range(n))


def cyclic_cross_modal(x: ROWS, y: ROWS) -> float:
    n = len(x)
    return mean(math.fsum((dot(x[j], y[k]) - dot(x[k], y[j])) ** 2 for k in range(n)) for j in range(n))


def siglip(x: ROWS, y: ROWS) -> float:
    def unlikely(j, k):
        z = 1 if j == k else -1
        return -math.log(1 / (1 + math.exp(-z * (dot(x[j], y[k]) / T + BIAS))))

    return mean(math.fsum(unlikely(j, k) for k in range(len(y))) for j in range(len(x)))


def scaled_denominator(x: ROWS, y: ROWS) -> float:
    def found(queries, gallery):
        for j, query in enumerate(queries):
            yield -math.log(
                math.exp(dot(query, gallery[j]) / T) / mean(math.exp(dot(query, row) / T) for row in gallery)
            )

    return (mean(found(x, y)) + mean(found(y, x))) / 2


def centroid_uniformity(x: ROWS, y: ROWS) -> float:
    middles = [[(p + q) / 2 for p, q in zip(a, b, strict=True)] for a, b in zip(x, y, strict=True)]
    return uniformity([[p / math.hypot(*m) for p in m] for m in middles])


def given(n: int, d: int, phase: float) -> ROWS:
    return [[math.sin(3 * j + k + phase) for k in range(d)] for j in range(n)]


def random_alignment(x: ROWS, y: ROWS) -> float:
    z = given(len(x), len(x[0]), 0)
    return sum(
        mean((p - q) ** 2 for a, c in zip(side, z, strict=True) for p, q in zip(a, c, strict=True))
        for side in (x, y)
    )


def hybrid_distillation(x: ROWS, y: ROWS) -> float:
    n, t = len(x), 0.5
    u, v = given(n, 4, 1), given(n, 4, 2)

    def softmax(row, columns):
        values = [math.exp(dot(row, column) / t) for column in columns]
        return [value / math.fsum(values) for value in values]

    def divergences(rows, columns, of_rows, of_columns):
        for j in range(n):
            p, q = softmax(rows[j], columns), softmax(of_rows[j], of_columns)
            q = [0.5 * (j == k) + 0.5 * value for k, value in enumerate(q)]
            yield math.fsum(b * math.log(b / a) for a, b in zip(p, q, strict=True))

    return t**2 * (mean(divergences(x, y, u, v)) + mean(divergences(y, x, v, u))) / 2


EXPLICIT = {
    "clip": clip,
    "uniformity": lambda x, y: (uniformity(x) + uniformity(y)) / 2,
    "cross_uniformity": cross_uniformity,
    "alignment": alignment,
    "slip": slip,
    "cyclic_in_modal": cyclic_in_modal,
    "cyclic_cross_modal": cyclic_cross_modal,
    "siglip": siglip,
    "scaled_denominator": scaled_denominator,
    "centroid_uniformity": centroid_uniformity,
    "random_alignment": random_alignment,
    "hybrid_distillation": hybrid_distillation,
}


def test_every_term_has_its_loop():
    assert tuple(EXPLICIT) == losses.TERMS
    assert all(set(parts) <= set(losses.TERMS) for parts in losses.SUMS.values())


@pytest.mark.parametrize("name", losses.TERMS)
@pytest.mark.parametrize("n", [2, 3, 17])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_value_by_a_double_loop(name, n, dtype, within, batch, terms):
    x, y = batch(n, 5)
    expected = EXPLICIT[name](x.tolist(), y.tolist())
    loss = terms[name][0](x.to(dtype), y.to(dtype), T, BIAS)
    assert loss.dtype == dtype and loss.shape == ()
    assert loss.item() == pytest.approx(expected, abs=within, rel=within)
    assert terms[name][1](x, y, T, BIAS).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
def test_clip_and_siglip_as_open_clip_computes_them(temperature, batch):
    x, y = batch(33, 16)
    assert losses.clip(x, y, temperature).item() == pytest.approx(
        ClipLoss()(x, y, 1 / temperature).item(), abs=1e-10
    )
    for bias in (-10.0, 0.0, 2.5):
        assert losses.siglip(x, y, temperature, bias).item() == pytest.approx(
            SigLipLoss()(x, y, 1 / temperature, bias).item(), rel=1e-10
        )


def test_what_the_gap_measures_is_what_is_trained(batch):
    x, y = batch(50, 8)
    assert losses.uniformity(x).item() == pytest.approx(gap.uniformity(x), abs=1e-12)
    assert losses.cross_uniformity(x, y).item() == pytest.approx(gap.cross_uniformity(x, y), abs=1e-12)
    assert losses.alignment(x, y).item() == pytest.approx(gap.alignment(x, y), abs=1e-12)


def test_known_geometry():
    alike = torch.eye(3)
    assert abs(losses.clip(alike, alike, 1.0).item() - 0.551445) < 1e-5
    assert losses.alignment(alike, alike).item() == 0
    axes = torch.eye(6, dtype=torch.float64)
    point = axes[:1].expand(6, 6)
    assert losses.clip(point, point, 0.01).item() == pytest.approx(math.log(6))
    assert losses.clip(axes, axes, 0.01).item() == pytest.approx(0, abs=1e-12)
    assert losses.clip(axes, axes, 1.0).item() == pytest.approx(math.log(math.e + 5) - 1)
    assert losses.slip(point, -point, 1.0).item() == pytest.approx(math.log(6 / math.e + 5 * math.e) + 1)
    assert losses.slip(point, point).item() == pytest.approx(math.log(11))
    assert losses.uniformity(point).item() == pytest.approx(0, abs=1e-12)
    assert losses.uniformity(axes).item() == pytest.approx(-4)
    assert losses.cross_uniformity(point, -point).item() == pytest.approx(-8)
    assert losses.cross_uniformity(axes, axes).item() == pytest.approx(-4)
    assert losses.alignment(point, -point).item() == pytest.approx(4)
    assert losses.alignment(axes, axes).item() == 0
    assert losses.cyclic_in_modal(axes, point).item() == pytest.approx(5)
    assert losses.cyclic_cross_modal(axes, axes).item() == 0
    assert losses.siglip(point, -point, 0.5, 2.0).item() == pytest.approx(6 * math.log(2))


@st.composite
def unit_pairs(draw) -> tuple[torch.Tensor, torch.Tensor]:
    n, d = draw(st.integers(2, 7)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.0, 0.01, 1.0, 100.0]))  # about one point, up to all directions
    x, y = (rng.normal(size=d) + spread * rng.normal(size=(n, d)) for _ in range(2))
    return tuple(normalize(torch.from_numpy(rows), dim=1) for rows in (x, y))


def rotation(d: int) -> torch.Tensor:
    return torch.linalg.qr(
        torch.randn(d, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64)
    )[0]


@pytest.mark.parametrize("name", [name for name in losses.TERMS if name not in losses.SUMS["clip-refine"]])
def test_neither_order_nor_modality_nor_a_common_rotation_matters(name, terms):
    def loss(x, y):
        return terms[name][0](x, y, T, BIAS)

    @settings(max_examples=40, deadline=None)
    @drawn(unit_pairs())
    def holds(pair):
        x, y = pair
        if name == "centroid_uniformity":  # opposite pairs have none
            assume((x + y).norm(dim=1).min() > 1e-3)
        value = loss(x, y).item()
        close = partial(pytest.approx, abs=1e-9, rel=1e-9)
        assert loss(y, x).item() == close(value)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
        assert loss(x[order], y[order]).item() == close(value)
        turn = rotation(x.shape[1])
        assert loss(x @ turn, y @ turn).item() == close(value)

    holds()


@settings(max_examples=60, deadline=None)
@drawn(unit_pairs())
def test_bounds(pair):
    x, y = pair
    rounding, n = 1e-9, len(x)
    assert -8 - rounding <= losses.uniformity(x).item() <= rounding
    assert -8 - rounding <= losses.cross_uniformity(x, y).item() <= rounding
    assert 0 <= losses.alignment(x, y).item() <= 4 + rounding
    assert 0 <= losses.cyclic_in_modal(x, y).item() <= 4 * (n - 1) + rounding
    assert 0 <= losses.cyclic_cross_modal(x, y).item() <= 4 * (n - 1) + rounding
    assert -rounding <= losses.clip(x, y, T).item() <= 2 / T + math.log(n)
    assert -rounding <= losses.slip(x, y, T).item() <= 2 / T + math.log(2 * n - 1)
    assert losses.siglip(x, y, T, BIAS).item() >= 0
    assert losses.cross_uniformity(x, x).item() == pytest.approx(losses.uniformity(x).item(), abs=1e-12)


def test_the_middles_of_one_side_twice_are_that_side(batch):
    x, y = batch(9, 4)
    assert losses.centroid_uniformity(x, x).item() == pytest.approx(losses.uniformity(x).item(), abs=1e-12)
    middles = ((x + y) / 2).tolist()
    as_is = losses.centroid_uniformity(x, y, unit=False).item()
    assert as_is == pytest.approx(uniformity(middles), abs=1e-12)


def test_a_middle_without_a_direction():
    x = torch.eye(3)
    y = x * torch.tensor([[1.0], [-1.0], [1.0]])
    with pytest.raises(ValueError, match="pair 1 is opposite, and its midpoint has no direction; give"):
        losses.centroid_uniformity(x, y)
    assert losses.centroid_uniformity(x, y, unit=False).isfinite()
    y[1, 0] = 1e-6  # half as far from its opposite: only rounding would say where it points
    with pytest.raises(ValueError, match="pair 1 is opposite"):
        losses.centroid_uniformity(x, y)


def test_the_scaled_denominator_is_zero_at_chance_and_learns_as_clip_does(batch):
    point = torch.eye(6)[:1].expand(6, 6)
    assert losses.scaled_denominator(point, point, 0.01).item() == pytest.approx(0, abs=1e-6)
    x, y = (rows.requires_grad_() for rows in batch(7, 4))
    found = [torch.autograd.grad(loss(x, y, T), [x, y]) for loss in (losses.scaled_denominator, losses.clip)]
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_distillation_between_its_ends(batch):
    """α = 1 is CLIP's loss; α = 0 is none where the student is the teacher; rows of any length and width."""
    x, y = (3 * rows for rows in batch(9, 5))
    u, v = batch(9, 4, seed=1)
    only_pairs = losses.hybrid_distillation(x, y, u, v, temperature=0.5, truth=1)
    unit = (x / 3, y / 3)
    assert only_pairs.item() == pytest.approx(0.25 * losses.clip(*unit, 0.5 / 9).item(), rel=1e-12)
    assert losses.hybrid_distillation(x, y, x, y, truth=0).item() == pytest.approx(0, abs=1e-12)
    assert losses.hybrid_distillation(x, y, x.flip(0), y, truth=0).item() > 0.01
    huge = [1e3 * rows.float() for rows in (x, y)]
    assert losses.hybrid_distillation(*huge, u.float(), v.float()).isfinite()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    value = losses.hybrid_distillation(x, y, u, v)
    again = losses.hybrid_distillation(*(rows[order] for rows in (x, y, u, v)))
    torch.testing.assert_close(again, value)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("unit", (1.349538834354, -1.262683469062, -1.886741900392, 1.019023502565, 0.026779077142)),
        ("as stored", (1.349551126589, -1.262700241541, -1.886748345991, 1.019017595416, 0.026790749019)),
    ],
)
def test_modgaps_terms_of_real_pairs(coco, pairs, expected):
    """The first 16 pairs of COCO-500, by an independent script; its digits are all given."""
    x, y = (rows[:16] for rows in coco)
    if pairs == "unit":
        x, y = normalize(x, dim=1), normalize(y, dim=1)
    align, as_is, unit, at_07, at_01 = expected
    assert losses.alignment(x, y).item() == pytest.approx(align, abs=1e-11)
    assert losses.centroid_uniformity(x, y, unit=False).item() == pytest.approx(as_is, abs=1e-11)
    assert losses.centroid_uniformity(x, y).item() == pytest.approx(unit, abs=1e-11)
    assert losses.clip(x, y, 0.07).item() == pytest.approx(at_07, abs=1e-11)
    assert losses.clip(x, y, 0.01).item() == pytest.approx(at_01, abs=1e-11)
    loss, _ = losses.total(dict.fromkeys(losses.SUMS["modgap"], 1), x, y, temperature=0.07)
    assert loss.item() == pytest.approx(at_07 + align + unit, abs=1e-11)


def test_uniformities_of_real_pairs(coco):
    x, y = (normalize(rows, dim=1) for rows in coco)
    few = (x[:16], y[:16])
    assert losses.uniformity(few[0]).item() == pytest.approx(-1.802147236674, abs=1e-11)
    assert losses.uniformity(few[1]).item() == pytest.approx(-1.905536688609, abs=1e-11)
    assert losses.cross_uniformity(*few).item() == pytest.approx(-3.342741400885, abs=1e-11)
    assert losses.centroid_uniformity(x, y, unit=False).item() == pytest.approx(-1.216342531, abs=1e-9)
    assert losses.centroid_uniformity(x, y).item() == pytest.approx(-1.828036047, abs=1e-9)


@pytest.fixture(scope="module")
def coco(real) -> tuple[torch.Tensor, torch.Tensor]:
    with np.load(real / "clip-vit-b16/coco_val2017_500.npz") as file:
        return tuple(torch.from_numpy(file[key]).double() for key in ("image_features", "text_features"))
