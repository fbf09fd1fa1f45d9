from __future__ import annotations

import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from crossgap import distil, oti, ovi
from crossgap.backbones import BackboneError
from crossgap.errors import CrossgapError
from crossgap.inversion import distil as module
from crossgap.inversion.batch_size import MOST, MOST_IN_HALF
from crossgap.inversion.distil import Split, contrastive, losses, measured_steps, train
from crossgap.inversion.distil_recipe import LOSSES, Distil
from crossgap.inversion.methods import Oti
from crossgap.inversion.phi import Phi
from crossgap.training.trainer import TrainingError
from tests.asked import ASKED

FEW = {"epochs": 3, "batch_size": 8, "held_out": 0.25}


@pytest.fixture(scope="module")
def texts(tiny) -> np.ndarray:
    words = [
        f"{colour} {thing}"
        for colour in ["red", "green", "blue", "old"]
        for thing in ["cat", "dog", "car", "hat"]
    ]
    return tiny.encode_texts(tiny.tokenize(words)[0]).features.numpy()


@pytest.fixture(scope="module")
def targets(tiny, images) -> np.ndarray:
    return oti(images, tiny, 4, 2, progress=False).tokens


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_teaches_items_that_were_never_seen(tiny, images, targets, loss) -> None:
    # not yet the tokens themselves but where they point: steps enough to tell learning from noise
    found = distil(
        images, tiny, tokens=2, loss=loss, targets=targets, epochs=15, batch_size=8, lr=1e-3, held_out=0.25, dropout=0.1
    )  # fmt: skip
    held_out = [row["held_out"] for row in found.curves if "held_out" in row]
    trained = [row["loss"] for row in found.curves if "loss" in row]
    assert trained[-1] < trained[0]
    assert len(held_out) == 16 and held_out[-1] < held_out[0] - 0.02
    assert found.said["loss"] == loss and found.said["on"]["items"] == 36


def test_tokens_features_and_losses_are_of_the_items(tiny, images, texts) -> None:
    for method, features, number, width in (("oti", images, 2, 32), ("ovi", texts, 4, 48)):
        found = distil(features, tiny, method, number, **FEW)
        inverted = found.invert(features, progress=False)
        assert inverted.tokens.shape == (len(features), number, width)
        assert inverted.features.shape == features.shape and (inverted.steps == 0).all()
        np.testing.assert_array_equal(inverted.tokens, found.tokens(features))
        with torch.no_grad():
            encoded = found.method.inject(tiny)(torch.from_numpy(inverted.tokens)).numpy()
        np.testing.assert_allclose(inverted.features, encoded, rtol=1e-4, atol=1e-5)
        cosine = (
            (encoded * features).sum(1) / np.linalg.norm(encoded, axis=1) / np.linalg.norm(features, axis=1)
        )
        np.testing.assert_allclose(inverted.losses, 1 - cosine, atol=1e-5)


def test_the_network_is_the_one_of_the_paper(tiny) -> None:
    phi, plain = module.initial(6, (2, 5), 0), torch.nn
    layers = plain.Sequential(
        plain.Linear(6, 24), plain.GELU(), plain.Linear(24, 24), plain.GELU(), plain.Linear(24, 10)
    )
    layers.load_state_dict(dict(zip(layers.state_dict(), phi.state_dict().values(), strict=True)))
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    given = x / x.norm(dim=1, keepdim=True) * math.sqrt(6)
    torch.testing.assert_close(phi(x), layers(given).reshape(3, 2, 5))
    torch.testing.assert_close(phi(7 * x), phi(x))


def test_dropout_leaves_out_as_often_as_asked_and_keeps_the_mean() -> None:
    recipe = Distil(dropout=0.3)
    first, again, other = (module.kept(recipe, step, 50, 200, torch.device("cpu")) for step in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other) and first.shape == (2, 50, 200)
    assert abs((first == 0).float().mean() - 0.3) < 0.02 and abs(first.mean() - 1) < 0.02
    assert module.kept(Distil(dropout=0), 0, 5, 5, torch.device("cpu")) is None


def test_the_contrastive_loss_is_searles() -> None:
    rng = np.random.default_rng(0)
    made, taught = rng.normal(size=(2, 5, 2, 3))

    def c(a: np.ndarray, b: np.ndarray) -> float:
        return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))

    total, tau = 0.0, 0.25
    for k in range(5):
        for ours, theirs in ((made, taught), (taught, made)):
            top = math.exp(c(theirs[k], ours[k]) / tau)
            below = sum(math.exp(c(theirs[k], ours[j]) / tau) for j in range(5))
            below += sum(math.exp(c(theirs[k], theirs[j]) / tau) for j in range(5) if j != k)
            total -= math.log(top / below)
    found = contrastive(torch.from_numpy(made), torch.from_numpy(taught), tau)
    assert found.item() == pytest.approx(total / 5, rel=1e-9)


def test_the_losses_are_what_their_names_say() -> None:
    made, taught = torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    features = torch.randn(4, 3, generator=torch.Generator().manual_seed(1)).double()

    def encode(tokens: torch.Tensor) -> torch.Tensor:
        return tokens.sum(1).double()

    def of(kind: str) -> float:
        return losses(kind, made, taught, features, encode, 0.25).item()

    cosine = (
        sum(1 - float(a @ b / a.norm() / b.norm()) for a, b in zip(made.sum(1), features, strict=True)) / 4
    )
    assert of("cosine") == pytest.approx(cosine, abs=1e-6)
    assert of("searle") == pytest.approx(cosine + contrastive(made, taught, 0.25).item(), abs=1e-6)
    assert of("tokens") == pytest.approx(float(((made - taught) ** 2).mean()))


def test_the_same_items_give_the_same_bits_in_whatever_order_they_come(tiny, images) -> None:
    ids = [f"image {row}" for row in range(len(images))]
    first, again = (distil(images, tiny, ids=ids, **FEW) for _ in range(2))
    mixed = np.random.default_rng(0).permutation(len(ids))
    other = distil(images[mixed], tiny, ids=[ids[row] for row in mixed], **FEW)
    assert first.digest == again.digest == other.digest and first.curves == again.curves
    assert distil(images, tiny, ids=ids, seed=1, **FEW).digest != first.digest


def test_an_items_result_does_not_depend_on_its_batch(tiny, images) -> None:
    found = distil(images, tiny, **FEW)
    whole = found.invert(images, steps=3, batch_size=16, progress=False)
    for rows in ([7], [40, 7, 3], list(range(5, 30))):
        some = found.invert(images[rows], steps=3, batch_size=16, progress=False)
        np.testing.assert_array_equal(some.tokens, whole.tokens[rows])
        np.testing.assert_array_equal(some.features, whole.features[rows])
    alone = found.invert(images, steps=3, batch_size=5, progress=False)
    np.testing.assert_allclose(alone.features, whole.features, rtol=2e-3, atol=2e-3)


def test_a_few_items_are_filled_up_no_more_than_otis(tiny, images, monkeypatch) -> None:
    monkeypatch.setattr("crossgap.inversion.invert.fitting", lambda *_: MOST_IN_HALF)  # as of bfloat16
    found, sizes = distil(images, tiny, **FEW), []
    hook = found.phi.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    found.invert(images[:3], progress=False)
    hook.remove()
    assert sizes == [MOST["cpu"]]


def test_warm_takes_the_papers_steps_from_where_the_network_ends(tiny, images) -> None:
    found = distil(images, tiny, **FEW)
    warm = found.invert(images[:6], steps=3, lr=0.05, snapshots=[0, 2], progress=False)
    cold = found.invert(images[:6], progress=False)
    np.testing.assert_array_equal(warm.snapshots[:, 0], cold.features)
    tokens = torch.nn.Parameter(torch.from_numpy(cold.tokens.copy()))
    optimiser, encode = torch.optim.AdamW([tokens], lr=0.05, weight_decay=0.01), found.method.inject(tiny)
    criterion = torch.nn.CosineEmbeddingLoss(reduction="sum")
    for _ in range(3):
        optimiser.zero_grad()
        criterion(encode(tokens), torch.from_numpy(images[:6]), torch.ones(6)).backward()
        optimiser.step()
    np.testing.assert_allclose(warm.tokens, tokens.detach().numpy(), rtol=2e-3, atol=2e-3)
    assert (warm.losses < cold.losses).all()


def test_what_is_held_out_is_told_by_its_name_and_stays_when_fewer_are_learnt_from() -> None:
    ids = [str(number) for number in range(100)]
    every, few = Split.of(ids, Distil(held_out=0.2)), Split.of(ids, Distil(held_out=0.2, items=30))
    assert sorted([*every.learnt, *every.held_out]) == list(range(100)) and len(every.held_out) == 20
    np.testing.assert_array_equal(every.held_out, few.held_out)
    np.testing.assert_array_equal(every.learnt[:30], few.learnt)
    with pytest.raises(ValueError, match="3 items, of which 2 are held out, leave 1 to distil on"):
        Split.of(ids[:3], Distil(held_out=0.5))


def test_the_captions_of_an_image_are_held_out_together() -> None:
    ids = [f"caption {number}" for number in range(60)]
    groups = ["" if number >= 50 else f"image {number % 10}" for number in range(60)]
    found = Split.of(ids, Distil(held_out=0.3), groups)
    assert sorted([*found.learnt, *found.held_out]) == list(range(60)) and 13 < len(found.held_out) <= 18
    learnt, held_out = ({groups[row] for row in rows} - {""} for rows in (found.learnt, found.held_out))
    assert learnt and held_out and not learnt & held_out
    few = Split.of(ids, Distil(held_out=0.3, items=9), groups)
    np.testing.assert_array_equal(few.learnt, found.learnt[:9])
    assert len({groups[row] or row for row in few.learnt}) > 4, "those of few images alone"
    alone = Split.of(ids, Distil(held_out=0.3), ids)
    np.testing.assert_array_equal(alone.held_out, Split.of(ids, Distil(held_out=0.3)).held_out)


def test_nothing_of_what_is_held_out_is_learnt(tiny, images) -> None:
    ids = [str(row) for row in range(len(images))]
    changed = images.copy()
    changed[Split.of(ids, Distil(**FEW)).held_out] *= -1
    first, other = (distil(features, tiny, **FEW) for features in (images, changed))
    for ours, theirs in zip(first.phi.state_dict().values(), other.phi.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_learnt_is_not_measured_as_held_out_under_another_name(tiny, images) -> None:
    ids = [str(row) for row in range(len(images))]
    split = Split.of(ids, Distil(**FEW))
    twins = images.copy()
    twins[split.held_out[0]] = images[split.learnt[0]]
    with_one, without = distil(twins, tiny, **FEW), distil(images, tiny, **FEW)
    count = without.said["on"]["held_out"]
    assert count == len(split.held_out) > 1 and with_one.said["on"]["held_out"] == count - 1
    unseen = torch.from_numpy(images[split.held_out[1:]])
    wanted = module.cosine_loss(with_one.phi, unseen, Oti().inject(tiny))
    assert with_one.curves[-1]["held_out"] == pytest.approx(wanted, abs=1e-6)
    twins[split.held_out] = images[split.learnt[0]]
    none = distil(twins, tiny, **FEW)
    assert none.said["on"]["held_out"] == 0 and "held_out" not in none.curves[-1]


def test_it_is_measured_at_the_start_at_the_end_and_at_most_at_so_many_epochs() -> None:
    assert measured_steps(3, 10) == [0, 10, 20, 30]
    many = measured_steps(1000, 7)
    assert (many[0], many[-1]) == (0, 7000) and len(many) == module.POINTS + 1


def test_without_targets_oti_finds_them_for_what_is_learnt_from(tiny, images) -> None:
    few = {"loss": "tokens", "epochs": 1, "batch_size": 4, "items": 4, "held_out": 0.0}
    ids = [str(row) for row in range(8)]
    given = oti(images[:8], tiny, ids=ids, progress=False).tokens
    found, wanted = distil(images[:8], tiny, **few), distil(images[:8], tiny, targets=given, **few)
    for ours, theirs in zip(found.phi.state_dict().values(), wanted.phi.state_dict().values(), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-4)


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_with_the_same_bits(tiny_folder, tiny, images, tmp_path) -> None:
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "train.py").write_text(f"""
import os, signal, sys
from pathlib import Path
import numpy as np
from crossgap import load_backbone
from crossgap.inversion import distil
from crossgap.inversion.distil_recipe import Distil
from crossgap.inversion.methods import Oti

x = np.load("images.npy")
losses, calls = distil.losses, []
def counted(*given):
    calls.append(1)
    if len(calls) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return losses(*given)
distil.losses = counted
distil.train(x, [str(row) for row in range(len(x))], load_backbone("local-dir:{tiny_folder}"), Oti(),
    Distil(epochs=3, batch_size=8, held_out=0.25), "cosine", None, on={{}}, scratch=Path("scratch"), code="x",
    save_seconds=0).save("phi.safetensors")
print(len(calls))
""")
    run = [sys.executable, "train.py"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([*run, "6"], cwd=tmp_path, env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL and list((tmp_path / "scratch").rglob("*.pt"))
    assert not (tmp_path / "phi.safetensors").exists()
    done = subprocess.run(
        [*run, "0"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "7", "12 steps, of which 5 were done"
    assert list((tmp_path / "scratch").iterdir()) == []
    ids = [str(row) for row in range(len(images))]
    whole = train(
        images, ids, tiny, Oti(), Distil(**FEW), "cosine", None, on={}, scratch=tmp_path / "other", code="x"
    )
    whole.save(tmp_path / "whole.safetensors")
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "phi.safetensors").read_bytes()


def test_a_loss_that_is_not_finite_ends_it_with_a_remedy(tiny, images) -> None:
    with pytest.raises(TrainingError, match=r"^distil oti cosine: the [^;]* at step \d+ of \d+\. Lower lr"):
        distil(images, tiny, lr=1e30, **FEW)


@pytest.mark.parametrize("held_out", [0, 0.5])
def test_a_last_step_that_breaks_it_down_is_told(tiny, images, held_out) -> None:
    with pytest.raises(
        TrainingError, match=r"distil oti cosine: the loss is nan after the last of 1 steps.*Lower lr"
    ):
        distil(images, tiny, epochs=1, lr=1e30, held_out=held_out)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (torch.arange(48) % 5, [str(row % 5) for row in range(48)]),
        ([math.nan, None, *["a"] * 46], ["", "", *["a"] * 46]),
    ],
)
def test_groups_are_names_or_none_however_they_are_held(tiny, images, given, names) -> None:
    found = distil(images, tiny, **FEW, groups=given)
    assert found.digest == distil(images, tiny, **FEW, groups=names).digest


def test_a_group_that_is_no_name_is_told(tiny, images) -> None:
    with pytest.raises(TypeError, match="groups holds a tuple: a label is a string or a number"):
        distil(images, tiny, epochs=1, groups=[("a",), *["b"] * (len(images) - 1)])


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-140, 2.0**125, 2.0**1000])
def test_very_long_and_very_short_features_teach_as_others_do(tiny, images, scale) -> None:
    assert distil(images * np.float64(scale), tiny, **FEW).digest == distil(images, tiny, **FEW).digest


def test_targets_may_be_of_torch(tiny, images, targets) -> None:
    given = {"tokens": 2, "loss": "tokens", **FEW}
    of_torch = distil(images, tiny, targets=torch.from_numpy(targets), **given)
    assert of_torch.digest == distil(images, tiny, targets=targets, **given).digest


def test_targets_that_broke_down_are_left_out(tiny, images, targets) -> None:
    broken = targets.copy()
    broken[Split.of([str(row) for row in range(48)], Distil(**FEW)).learnt[:5]] = np.nan
    found = distil(images, tiny, tokens=2, loss="tokens", targets=broken, **FEW)
    assert found.said["on"]["items"] == 31
    with pytest.raises(ValueError, match="0 of the items have finite tokens"):
        distil(images, tiny, tokens=2, loss="tokens", targets=np.full_like(targets, np.nan), **FEW)


def test_bad_input_is_refused_before_any_work(tiny, images, targets, monkeypatch) -> None:
    monkeypatch.setattr(module, "fit", None)
    for given, error, message in (
        ({"loss": "cosin"}, CrossgapError, "loss 'cosin' is none of tokens, searle, cosine"),
        ({"method": "otx"}, CrossgapError, "method 'otx' is none of oti, ovi"),
        (
            {"loss": "tokens", "targets": targets},
            ValueError,
            r"needs tokens \(48, 1, 32\), not \(48, 2, 32\)",
        ),
        (
            {"loss": "tokens", "targets": targets.astype(str)},
            TypeError,
            "targets holds <U.*, not real numbers",
        ),
        ({"loss": "tokens", "targets": targets + 0j}, TypeError, "targets holds complex.*, not real numbers"),
        ({"method": ["oti"]}, CrossgapError, r"method \['oti'\] is none of oti, ovi"),
        ({"groups": "a" * 48}, TypeError, r"groups is 'aaa.*: give one label an item"),
        ({"groups": 3}, TypeError, "groups is 3: give one label an item"),
        ({"on": math.nan}, TypeError, "on is nan: say in words what is distilled on"),
        ({"epochs": 0}, CrossgapError, "^distil: epochs is"),
        ({"lr": math.nan}, CrossgapError, "^distil: lr is"),
        ({"lr": 1e38}, CrossgapError, "^distil: lr is 1e.38"),
        ({"held_out": 1}, CrossgapError, "^distil: held_out is"),
        ({"rate": 1}, CrossgapError, "^distil: rate is"),
        ({"template": "no slot"}, BackboneError, "exactly one"),
        ({"ids": ["a"]}, ValueError, "ids holds 1 labels for 48 items"),
    ):
        with pytest.raises(error, match=message):
            distil(images, tiny, **given)
    with pytest.raises(BackboneError, match="features have width 23"):
        distil(images[:, :23], tiny)
    bad = images.copy()
    bad[3, 0] = np.inf
    with pytest.raises(ValueError, match="not finite, of items 3"):
        distil(bad, tiny)


def test_texts_of_one_image_are_given_together(tiny, texts) -> None:
    found = distil(texts, tiny, "ovi", groups=["a", "b"] * 8, **FEW | {"held_out": 0.5})
    assert (found.said["on"]["items"], found.said["on"]["held_out"]) == (8, 8)
    assert distil(texts, tiny, "ovi", groups=["a"] * 16, **FEW).said["on"]["held_out"] == 0
    with pytest.raises(ValueError, match="groups holds 15 labels for 16 items"):
        distil(texts, tiny, "ovi", groups=["a"] * 15, **FEW)


def test_ovi_is_the_mirror_image(tiny, texts) -> None:
    found = distil(texts, tiny, "ovi", 2, epochs=30, batch_size=4, lr=1e-3, held_out=0.0)
    before = Phi.forward(module.initial(24, (2, 48), 0), torch.from_numpy(texts))
    with torch.no_grad():
        untrained = found.method.inject(tiny)(before).numpy()
    cosine = (untrained * texts).sum(1) / np.linalg.norm(untrained, axis=1) / np.linalg.norm(texts, axis=1)
    assert found.invert(texts, progress=False).losses.mean() < (1 - cosine).mean() - 0.02
    noise = ovi(texts, tiny, 1, 2, progress=False).losses.mean()
    assert found.invert(texts, progress=False).losses.mean() < noise


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_asked_of_torch_around_it_changes_no_bit(tiny, images, asked) -> None:
    wanted = distil(images[:10], tiny, **FEW)
    with ASKED[asked]():
        found = distil(images[:10], tiny, **FEW)
        tokens = found.tokens(images)
    assert found.digest == wanted.digest
    np.testing.assert_array_equal(tokens, wanted.tokens(images))


def test_a_checkpoint_is_of_the_features_and_tokens_that_are_learnt_alone(
    tiny, images, targets, tmp_path, monkeypatch
) -> None:
    class Stopped(Exception):
        """No step is needed."""

    def stop(_learner: object, _steps: int, checkpoint, **_: object) -> None:
        seen.append(checkpoint.parent.name)
        raise Stopped

    seen: list[str] = []
    monkeypatch.setattr(module, "fit", stop)
    ids = [str(row) for row in range(len(images))]
    for features, tokens in ((images, targets), (images, targets), (-images, targets), (images, -targets)):
        with pytest.raises(Stopped):
            train(
                features, ids, tiny, Oti(tokens=2), Distil(**FEW), "tokens", tokens, on={}, scratch=tmp_path
            )
    assert seen[0] == seen[1] and len(set(seen)) == 3
