"""Weighted sums, names that cost no torch, and input that is refused."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from crossgap import losses
from crossgap.losses import pairs

T, BIAS = 0.2, -3.0


def test_the_weighted_sum_and_its_terms(batch):
    images, texts = (rows.requires_grad_() for rows in batch(12, 5))
    views = tuple(rows.requires_grad_() for rows in batch(12, 7, seed=1))
    raw = tuple(3 * rows for rows in batch(12, 5, seed=2))
    reference, taught = batch(12, 5, seed=3)[0], batch(12, 4, seed=4)
    weights = {name: 0.5 + number for number, name in enumerate(losses.TERMS)}
    loss, terms = losses.total(
        weights,
        images,
        texts,
        temperature=T,
        bias=BIAS,
        views=views,
        intra_modal_temperature=0.3,
        raw=raw,
        reference=reference,
        taught=taught,
        distillation_temperature=0.7,
    )
    expected = {
        "clip": losses.clip(images, texts, T),
        "uniformity": (losses.uniformity(images) + losses.uniformity(texts)) / 2,
        "cross_uniformity": losses.cross_uniformity(images, texts),
        "alignment": losses.alignment(images, texts),
        "slip": losses.slip(*views, 0.3),
        "cyclic_in_modal": losses.cyclic_in_modal(images, texts),
        "cyclic_cross_modal": losses.cyclic_cross_modal(images, texts),
        "siglip": losses.siglip(images, texts, T, BIAS),
        "scaled_denominator": losses.scaled_denominator(images, texts, T),
        "centroid_uniformity": losses.centroid_uniformity(images, texts),
        "random_alignment": losses.random_alignment(*raw, reference),
        "hybrid_distillation": losses.hybrid_distillation(*raw, *taught, 0.7),
    }
    assert list(terms) == list(weights)
    for name, term in terms.items():
        assert not term.requires_grad and torch.equal(term, expected[name]), name
    summed = torch.stack([weights[name] * term for name, term in expected.items()]).sum()
    torch.testing.assert_close(loss, summed)
    leaves = [images, texts, *views]
    for found, wanted in zip(
        torch.autograd.grad(loss, leaves), torch.autograd.grad(summed, leaves), strict=True
    ):
        torch.testing.assert_close(found, wanted)


def test_the_sums_of_the_paper(batch):
    images, texts = batch(20, 6)
    cua = losses.clip(images, texts, 0.01) + losses.alignment(images, texts)
    cua += (losses.uniformity(images) + losses.uniformity(texts)) / 2
    for name, expected in (
        ("clip", losses.clip(images, texts, 0.01)),
        ("cua", cua),
        ("cuaxu", cua + losses.cross_uniformity(images, texts)),
    ):
        loss, terms = losses.total(dict.fromkeys(losses.SUMS[name], 1), images, texts, temperature=0.01)
        torch.testing.assert_close(loss, expected)
        assert tuple(terms) == losses.SUMS[name]


def test_the_temperature_and_the_bias_learn_from_their_terms_alone(batch):
    temperature, bias, intra = (
        torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (T, BIAS, 0.1)
    )
    for name, learning in (
        ("clip", (True, False, False)),
        ("siglip", (True, True, False)),
        ("slip", (False, False, True)),
        ("alignment", (False, False, False)),
    ):
        loss, _ = losses.total(
            {name: 2.0, "uniformity": 1.0},
            *(rows.requires_grad_() for rows in batch(6, 4)),
            temperature=temperature,
            bias=bias,
            views=batch(6, 3, seed=1),
            intra_modal_temperature=intra,
        )
        got = torch.autograd.grad(loss, [temperature, bias, intra], allow_unused=True)
        assert tuple(gradient is not None and gradient != 0 for gradient in got) == learning


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names_cost_no_torch():
    code = (
        "from crossgap import losses; losses.SUMS, losses.TEMPERED, losses.TERMS; "
        "import sys; print('torch' in sys.modules)"
    )
    assert run(code) == "False\n"
    assert set(losses.__all__) == {"SUMS", "TEMPERED", "TERMS", "total", *losses.TERMS}
    with pytest.raises(AttributeError, match=r"'crossgap\.losses' has no attribute 'nothing'"):
        losses.nothing  # noqa: B018


def test_a_loss_is_a_function_and_no_module_bears_its_name():
    folder = Path(losses.__file__).parent
    assert not {path.stem for path in folder.glob("*.py")} & {*losses.TERMS, "total"}
    for name in [*losses.TERMS, "total"]:
        function = getattr(losses, name)
        assert isinstance(function, types.FunctionType) and function.__name__ == name
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("crossgap.losses.clip")


def test_type_checkers_are_told_of_every_loss():
    """They don't follow `__getattr__`: the imports that only they read name each function where it is."""
    told = {
        alias.asname: node.module
        for branch in ast.parse(Path(losses.__file__).read_text()).body
        if isinstance(branch, ast.If)
        for node in branch.body
        for alias in node.names
    }
    assert told == {name: getattr(losses, name).__module__ for name in [*losses.TERMS, "total"]}


def rows(n=3, d=4, dtype=torch.float32):
    return normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(0)), dim=1).to(dtype)


ON_PAIRS = [
    lambda x, y: losses.clip(x, y, T),
    losses.cross_uniformity,
    losses.alignment,
    losses.slip,
    losses.cyclic_in_modal,
    losses.cyclic_cross_modal,
    lambda x, y: losses.siglip(x, y, T, BIAS),
    lambda x, y: losses.scaled_denominator(x, y, T),
    losses.centroid_uniformity,
    lambda x, y: losses.total({"clip": 1}, x, y, temperature=T),
]


@pytest.mark.parametrize("loss", [*ON_PAIRS, lambda x, y: losses.uniformity(x)])
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (rows(1), ValueError, r"(images|first|x): a loss over a batch of 1 .*at least 2 rows"),
        (rows(0), ValueError, r"a batch of 0 "),
        (rows()[0], ValueError, r"(images|first|x) has shape \(4,\): give one row an item"),
        (
            2 * rows(),
            ValueError,
            r"(images|first|x) has rows whose length .* by up to 1: normalise them first",
        ),
        (0 * rows(), ValueError, r"normalise them first"),
        (rows().long(), TypeError, r"(images|first|x) is torch.int64: give a floating torch tensor"),
        (rows().numpy(), TypeError, r"(images|first|x) is ndarray: give a floating torch tensor"),
    ],
)
def test_rows_that_are_none_are_refused(loss, wrong, error, message):
    with pytest.raises(error, match=message):
        loss(wrong, wrong)


@pytest.mark.parametrize("loss", ON_PAIRS)
def test_batches_that_do_not_match_are_refused(loss):
    for other in (rows(4), rows(3, 5)):
        with pytest.raises(
            ValueError, match=r"has shape \(3, 4\) and (texts|second) \(\d, \d\): row i of both"
        ):
            loss(rows(), other)
    with pytest.raises(
        TypeError, match=r"is torch.float32 and (texts|second) torch.float64: give both in one"
    ):
        loss(rows(), rows(dtype=torch.float64))
    with pytest.raises(ValueError, match=r"(texts|second) has rows whose length"):
        loss(rows(), 1.02 * rows())
    loss(rows(), 1.005 * rows())


def test_not_a_number_becomes_the_loss():
    broken = rows() * torch.tensor([[1.0], [torch.nan], [1.0]])
    for loss in ON_PAIRS[:-1]:
        assert loss(broken, rows()).isnan() and loss(rows(), broken).isnan()
    assert losses.uniformity(broken).isnan()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            (2 * rows(), 2 * rows(4)),
            ValueError,
            r"images has shape \(3, 4\) and texts \(4, 4\): row i of both",
        ),
        ((2 * rows(1), 2 * rows(1)), ValueError, "images: a loss over a batch of 1"),
        ((2 * rows(), rows().long()), TypeError, "texts is torch.int64: give a floating"),
        ((2 * rows(), 2 * rows(), rows(4)), ValueError, "teacher_images has 4 rows and images 3"),
    ],
)
def test_rows_of_any_length_that_are_none(given, error, message):
    images, texts, *teacher = given
    teacher = teacher[0] if teacher else rows()
    with pytest.raises(error, match=message):
        losses.hybrid_distillation(images, texts, teacher, teacher)
    if len(given) == 2:
        with pytest.raises(error, match=message):
            losses.random_alignment(images, texts, images)


def test_what_a_distillation_needs():
    x = 2 * rows()
    with pytest.raises(ValueError, match=r"truth is 1\.5: give a share of the targets, from 0 to 1"):
        losses.hybrid_distillation(x, x, x, x, truth=1.5)
    with pytest.raises(ValueError, match="temperature is 0: give a positive number"):
        losses.hybrid_distillation(x, x, x, x, temperature=0)
    with pytest.raises(ValueError, match=r"images has shape \(3, 4\) and reference \(3, 5\)"):
        losses.random_alignment(x, x, rows(3, 5))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), torch.tensor(0.0), 0])
def test_a_temperature_that_is_none(value):
    x = rows()
    for call in (
        lambda: losses.clip(x, x, value),
        lambda: losses.slip(x, x, value),
        lambda: losses.siglip(x, x, value, BIAS),
    ):
        with pytest.raises(
            ValueError, match=r"temperature is (0|-1|nan|inf): give a positive number, such as 0.01"
        ):
            call()


def test_numbers_that_are_none():
    x = rows()
    with pytest.raises(TypeError, match=r"temperature is of shape \(1,\): give a number"):
        losses.clip(x, x, torch.ones(1))
    with pytest.raises(TypeError, match="temperature is str: give a number"):
        losses.clip(x, x, "0.1")
    with pytest.raises(ValueError, match="bias is nan: give a finite number"):
        losses.siglip(x, x, T, float("nan"))
    with pytest.raises(TypeError, match="bias is NoneType"):
        losses.siglip(x, x, T, None)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "losses: names none; give one of clip, uniformity"),
        ({"clip": 1, "cua": 1}, "losses: no loss 'cua'; known: clip, uniformity, .*siglip, "),
        ({"clip": 0}, r"losses.clip: the weight is 0; give a positive number, or leave the term out"),
        ({"clip": 1, "alignment": -0.5}, r"losses.alignment: the weight is -0.5"),
        ({"clip": float("nan")}, "losses.clip: the weight is nan"),
        ({"clip": float("inf")}, "losses.clip: the weight is inf"),
        ({"slip": 1}, "losses.slip: there are no views; give two of each image"),
        ({"siglip": 1}, "losses.siglip: there is no bias; give one, such as -10"),
        ({"random_alignment": 1}, "losses.random_alignment: raw or reference is not there; give"),
        ({"hybrid_distillation": 1}, "losses.hybrid_distillation: raw or taught is not there; give"),
    ],
)
def test_sums_that_are_none(weights, message):
    with pytest.raises(ValueError, match=message):
        losses.total(weights, rows(), rows(), temperature=T)


def test_a_block_is_one_row_at_least(monkeypatch):
    monkeypatch.setattr(pairs, "ELEMENTS", 1)
    assert torch.isfinite(losses.uniformity(rows(5)))


def test_what_are_no_weights_or_no_pairs_is_told(batch):
    images, texts = batch(4, 3)
    for given in ("clip", ["clip"], 1):
        with pytest.raises(TypeError, match=r"^losses is .*: give weights by names"):
            losses.total(given, images, texts, temperature=T)
    for weight in ("1", None, [1]):
        with pytest.raises(TypeError, match=r"^losses\.clip is .*: give a number"):
            losses.total({"clip": weight}, images, texts, temperature=T)
    for name in ("views", "raw", "taught"):
        with pytest.raises(TypeError, match=f"^{name} is a Tensor: give a tuple of two tensors$"):
            losses.total({"clip": 1}, images, texts, temperature=T, **{name: images})
