"""A fine-tuning of two small towers on a few scenes: the same bits every time, however it is cut."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from crossgap import load_backbone
from crossgap.backbones import Backbone
from crossgap.losses import TERMS
from crossgap.training import finetune as module
from crossgap.training import trainer
from crossgap.training.finetune import Learning, captions_of, finetune
from crossgap.training.finetune_recipe import Finetune
from crossgap.training.trainable import WEIGHTS
from crossgap.training.trainer import TrainingError
from tests.asked import ASKED

CUAXU = {"clip": 1.0, "uniformity": 1.0, "alignment": 1.0, "cross_uniformity": 1.0}
SUMS = {
    "cuaxu": CUAXU,
    "slip": {**CUAXU, "slip": 0.5},
    "siglip": {"siglip": 1.0, "cross_uniformity": 0.5},
    "cyclip": {"clip": 1.0, "cyclic_in_modal": 0.25, "cyclic_cross_modal": 0.25},
    "views alone": {"slip": 1.0},
    "modgap": {"clip": 1.0, "alignment": 1.0, "centroid_uniformity": 1.0},
    "clip-refine": {"random_alignment": 1.0, "hybrid_distillation": 1.0},
}
NO_TEMPERATURE = ("views alone", "clip-refine")
MORE = {"temperature", "centroid_distance", "matching_cosine"}


def recipe(**given) -> Finetune:
    start = {
        "backbone": "small",
        "dataset": "scenes",
        "epochs": 3,
        "batch_size": 6,
        "lr": 3e-4,
        "temperature": 0.1,
    }
    return Finetune(**{**start, **given})


@pytest.fixture
def backbone(small_folder: Path) -> Backbone:
    return load_backbone(f"local-dir:{small_folder}")


@pytest.fixture
def train(small_folder, scenes, tmp_path):
    """Train a fresh backbone; its folder and the curves."""

    def run(name: str, asked: Finetune, **more) -> tuple[Path, list[dict]]:
        items, root = scenes
        fresh = load_backbone(f"local-dir:{small_folder}")
        more = {"scratch": tmp_path / "scratch", "save_seconds": 1e9, **more}
        curves = finetune(fresh, captions_of(items, asked), root, asked, tmp_path / name, **more)
        return tmp_path / name, curves

    return run


def batch_of(backbone: Backbone, scenes, asked: Finetune, workers: int = 0):
    pairs = captions_of(scenes[0], asked)
    return module._Source(pairs, 1, asked, backbone, scenes[1], workers).at(0)


def flat(state: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([state[name].double().flatten() for name in sorted(state)])


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(train) -> None:
    asked = recipe(width=16, losses=SUMS["slip"], captions="any")
    one, curves = train("one", asked)
    torch.manual_seed(99)
    two, again = train("two", asked, workers=2)
    assert (one / WEIGHTS).read_bytes() == (two / WEIGHTS).read_bytes() and curves == again
    other, _ = train("other", recipe(width=16, losses=SUMS["slip"], captions="any", seed=1))
    assert (other / WEIGHTS).read_bytes() != (one / WEIGHTS).read_bytes()


def test_the_curves_have_the_terms_and_the_loss_falls(train, tmp_path) -> None:
    rows: list[dict] = []
    _, curves = train("one", recipe(losses=CUAXU, epochs=12), log=lambda row: rows.append(dict(row)))
    assert rows == curves
    assert [row["step"] for row in curves] == list(range(1, 12 * 3 + 1))
    for row in curves:
        assert row.keys() == {"step", "loss", *CUAXU, *MORE}
        assert row["loss"] == pytest.approx(sum(row[name] for name in CUAXU), rel=1e-5)
        assert row["temperature"] == pytest.approx(0.1)
    assert np.mean([row["loss"] for row in curves[-3:]]) < curves[0]["loss"] - 0.5
    assert list((tmp_path / "scratch").rglob("*")) == []
    alone = train("alone", recipe(epochs=1))[1]
    assert alone[0].keys() == {"step", "loss", *MORE}


def test_the_first_row_is_of_the_backbone_as_it_was(train, backbone, scenes) -> None:
    asked = recipe(losses={"clip": 2.0, "alignment": 0.5})
    row = train("one", asked)[1][0]
    batch = batch_of(backbone, scenes, asked)
    x, y = (
        torch.nn.functional.normalize(side.double(), dim=1).numpy()
        for side in (backbone.encode_images(batch.pixels).features, backbone.encode_texts(batch.ids).features)
    )
    logits = [[float(a @ b) / 0.1 for b in y] for a in x]
    sides = (logits, [list(column) for column in zip(*logits, strict=True)])
    found = [math.log(sum(map(math.exp, line))) - line[j] for side in sides for j, line in enumerate(side)]
    alignment = np.mean([math.dist(a, b) ** 2 for a, b in zip(x, y, strict=True)])
    assert row["clip"] == pytest.approx(np.mean(found), rel=1e-4)
    assert row["alignment"] == pytest.approx(alignment, rel=1e-4)
    assert row["loss"] == pytest.approx(2 * np.mean(found) + 0.5 * alignment, rel=1e-4)
    assert row["centroid_distance"] == pytest.approx(math.dist(x.mean(axis=0), y.mean(axis=0)), rel=1e-4)
    assert row["matching_cosine"] == pytest.approx(
        np.mean([a @ b for a, b in zip(x, y, strict=True)]), rel=1e-3
    )


@pytest.mark.parametrize("size", [4, 6, 1])
@pytest.mark.parametrize("name", SUMS)
def test_gradients_of_parts_are_those_of_the_batch(backbone, scenes, name, size) -> None:
    asked = recipe(losses=SUMS[name], batch_size=12, width=16, learn_temperature=name not in NO_TEMPERATURE)
    learning = Learning(backbone, asked)
    batch = batch_of(backbone, scenes, asked)
    found = []
    for forward_size in (None, size):
        learning.zero_grad(set_to_none=True)
        values = learning.gradients(batch, forward_size)
        found.append((values, {n: p.grad for n, p in learning.named_parameters() if p.grad is not None}))
    (whole, expected), (parts, gradients) = found
    assert gradients.keys() == expected.keys() and len(expected) > 20
    assert ("log_scale" in expected) == (name not in NO_TEMPERATURE) and ("bias" in expected) == (
        name == "siglip"
    )
    assert parts == pytest.approx(whole, rel=1e-5)
    size_of_all = flat(expected).norm()
    assert (flat(gradients) - flat(expected)).norm() <= 1e-5 * size_of_all
    for key, gradient in expected.items():
        if gradient.norm() > 1e-3 * size_of_all:  # a bias before a norm over the batch has none but rounding
            assert (gradients[key] - gradient).norm() <= 1e-4 * gradient.norm(), key


def test_features_without_graph_keep_none(backbone, scenes) -> None:
    asked = recipe(losses=SUMS["slip"])
    learning, batch = Learning(backbone, asked), batch_of(backbone, scenes, asked)
    inside: list[bool] = []
    backbone.model.visual.ln_post.register_forward_hook(lambda *_: inside.append(torch.is_grad_enabled()))
    learning.gradients(batch, 3)
    assert inside == [False] * 6 + [True] * 6  # two parts of an image and two views each


def test_the_teacher_is_the_backbone_as_it_was(train, backbone, scenes, small_folder) -> None:
    """The first row by the formulas of whole matrices; the teacher keeps its projection and isn't written."""
    asked = recipe(losses=SUMS["clip-refine"], width=16, distillation_temperature=2.0)
    batch, learning = batch_of(backbone, scenes, asked), Learning(backbone, asked)
    fresh = load_backbone(f"local-dir:{small_folder}")
    taught = [fresh.encode_images(batch.pixels).features, fresh.encode_texts(batch.ids).features]
    seen = [backbone.encode_images(batch.pixels).features, backbone.encode_texts(batch.ids).features]
    assert taught[0].shape[1] != seen[0].shape[1] == 16
    values = learning.gradients(batch, step=3)
    points = learning._reference(seen[0], 3)
    assert not torch.equal(points, learning._reference(seen[0], 4)) and abs(points.mean()) < 0.3
    aligned = sum((side - points).square().mean() for side in seen)
    distilled = 0
    for one in (1, -1):
        (x, y), (u, v) = seen[::one], taught[::one]
        target = 0.5 * torch.eye(6) + 0.5 * (u @ v.T / 2).softmax(dim=1)
        distilled += torch.nn.functional.kl_div(
            (x @ y.T / 2).log_softmax(dim=1), target, reduction="batchmean"
        )
    assert values["random_alignment"] == pytest.approx(aligned.item(), rel=1e-5)
    assert values["hybrid_distillation"] == pytest.approx(2 * distilled.item(), rel=1e-4)
    assert not any("teacher" in name for name, _ in learning.named_parameters())
    learning.optimizer().step()
    assert torch.equal(learning.teacher.encode_images(batch.pixels).features, taught[0])


def test_parts_change_the_parameters_by_rounding_alone(train, small_folder) -> None:
    asked = recipe(losses=SUMS["slip"], epochs=2, lr=1e-4)
    start = flat(load_file(small_folder / WEIGHTS))
    whole, parts = (
        flat(load_file(train(str(size), asked, forward_size=size)[0] / WEIGHTS)) for size in (None, 4)
    )
    assert (whole - start).norm() > 0
    assert (whole - parts).norm() < 0.01 * (whole - start).norm()


@pytest.mark.parametrize("name", TERMS)
def test_each_loss_trains(train, small_folder, name) -> None:
    folder, curves = train(name, recipe(losses={name: 1}, epochs=1))
    assert all(math.isfinite(value) for row in curves for value in row.values())
    before, after = load_file(small_folder / WEIGHTS), load_file(folder / WEIGHTS)
    assert not torch.equal(before["visual.conv1.weight"], after["visual.conv1.weight"])
    # the views are of images alone
    assert torch.equal(before["text_projection"], after["text_projection"]) == (name == "slip")


def test_a_temperature_that_learns(train) -> None:
    still, curves = train("still", recipe(temperature=0.05))
    assert load_file(still / WEIGHTS)["logit_scale"].item() == pytest.approx(math.log(20))
    moved, curves = train("moved", recipe(temperature=0.05, learn_temperature=True, lr=1e-2))
    assert curves[0]["temperature"] == pytest.approx(0.05)
    assert abs(curves[-1]["temperature"] - 0.05) > 1e-3
    assert load_file(moved / WEIGHTS)["logit_scale"].item() != pytest.approx(math.log(20), abs=0.02)


def test_a_temperature_that_no_loss_uses_stays_the_backbones(train, small_folder) -> None:
    own = load_file(small_folder / WEIGHTS)["logit_scale"].item()
    folder, _ = train(
        "untempered", recipe(losses={"alignment": 1, "uniformity": 1}, temperature=0.05, epochs=1)
    )
    assert load_file(folder / WEIGHTS)["logit_scale"].item() == own


@pytest.mark.parametrize(("start", "end"), [(0.002, 0.01), (3.0, 1.0)])
def test_a_temperature_that_learns_stays_in_its_range(train, start, end) -> None:
    asked = recipe(temperature=start, learn_temperature=True, lr=1e-6, epochs=1, clip_grad_norm=1)
    with pytest.warns(UserWarning, match=f"temperature: {start:g} is brought into 0.01 to 1") as said:
        folder, curves = train("clamped", asked)
    assert len(said) == 1
    assert curves[0]["temperature"] == pytest.approx(start)
    assert curves[1]["temperature"] == pytest.approx(end, rel=1e-4)
    scale = load_file(folder / WEIGHTS)["logit_scale"].item()
    assert 0 <= scale <= math.log(100) + 1e-6
    assert scale == pytest.approx(-math.log(end), abs=1e-4)


def test_the_bias_of_the_sigmoid_loss_is_saved_where_the_model_has_one(tmp_path, save_model, scenes) -> None:
    items, root = scenes
    asked = recipe(losses={"siglip": 1}, lr=1e-2, epochs=1)
    backbone = load_backbone(f"local-dir:{save_model(tmp_path / 'with bias', init_logit_bias=-3.0)}")
    pairs = captions_of(items, asked)
    finetune(backbone, pairs, root, asked, tmp_path / "out", scratch=tmp_path / "scratch")
    assert -10.5 < load_file(tmp_path / "out" / WEIGHTS)["logit_bias"].item() < -9.5


def test_mixed_precision_runs_and_keeps_float32(train, small_folder) -> None:
    asked = {"losses": CUAXU, "epochs": 2}
    full, curves = train("fp32", recipe(**asked))
    mixed, rounded = train("bf16", recipe(**asked, precision="bf16"), forward_size=4)
    state = load_file(mixed / WEIGHTS)
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in state.values())
    start, one, other = flat(load_file(small_folder / WEIGHTS)), flat(load_file(full / WEIGHTS)), flat(state)
    assert 0 < (one - other).norm() < 0.5 * (one - start).norm()
    assert rounded[0]["loss"] != curves[0]["loss"] and rounded[0]["loss"] == pytest.approx(
        curves[0]["loss"], abs=0.1
    )


def die_at(step: int) -> None:
    """In a process of its own: it is killed in the middle of a step."""
    real, calls = Learning.gradients, iter(range(1000))

    def gradients(self, *given):
        if next(calls) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, *given)

    Learning.gradients = gradients


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes(train, small_folder, scenes, tmp_path, monkeypatch) -> None:
    asked = recipe(width=16, losses=SUMS["slip"], captions="any", schedule="cosine", learn_temperature=True)
    expected, curves = train("whole", asked, scratch=tmp_path / "elsewhere")
    scenes[0].to_json(tmp_path / "items.json", orient="records")
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import json, pandas, torch, test_finetune as t
torch.set_num_threads(1)
items = pandas.DataFrame(json.loads(Path({str(tmp_path / "items.json")!r}).read_text()))
asked = t.Finetune(**json.loads({asked.model_dump_json(exclude_unset=True)!r}))
t.die_at(5)
t.finetune(t.load_backbone({f"local-dir:{small_folder}"!r}), t.captions_of(items, asked), Path({str(scenes[1])!r}),
           asked, Path({str(tmp_path / "killed")!r}), scratch=Path({str(tmp_path / "scratch")!r}), save_seconds=0)
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (checkpoint,) = (tmp_path / "scratch").rglob("*.pt")
    assert torch.load(checkpoint, weights_only=True)["step"] == 5
    assert not (tmp_path / "killed").exists()
    steps: list[int] = []
    real = module._Source.at
    monkeypatch.setattr(module._Source, "at", lambda self, step: steps.append(step) or real(self, step))
    found, again = train("killed", asked)
    assert steps == list(range(5, 9))
    assert (found / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes()
    assert again == curves
    assert list((tmp_path / "scratch").rglob("*.pt")) == []


def test_a_checkpoint_is_of_its_recipe_and_pairs_alone(train, tmp_path, scenes, small_folder) -> None:
    def names(asked: Finetune, items=scenes[0]) -> set[str]:
        def stop(*_args, **_more):
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            seen: list[Path] = []
            patch.setattr(
                module, "fit", lambda _learner, _steps, checkpoint, **_: seen.append(checkpoint) or stop()
            )
            with pytest.raises(KeyboardInterrupt):
                fresh = load_backbone(f"local-dir:{small_folder}")
                finetune(fresh, captions_of(items, asked), scenes[1], asked, tmp_path / "o", scratch=tmp_path)
        return {path.parent.name for path in seen}

    items = scenes[0]
    renamed = items.assign(
        id=items["id"].str.replace("train/", "t/"), group=items["group"].str.replace("train/", "t/")
    )
    boxed = items.assign(box=np.where(items["modality"] == "image", "0 0 16 16", None))
    said = items.assign(text=items["text"] + " again")
    others = [
        names(recipe(seed=1)),
        names(recipe(), renamed),
        names(recipe(), said),
        names(recipe(), boxed),
        names(recipe(captions="any")),
    ]
    assert names(recipe()) == names(recipe())
    assert len(set().union(names(recipe()), *others)) == 6


def test_a_loss_that_is_no_number_says_what_to_change(train, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(module, "total", lambda losses, x, y, **_: ((x * y).sum() * math.nan, {}))
    with pytest.raises(TrainingError, match=r"small one: the loss is nan at step 0 of 9; .*Lower lr"):
        train("one", recipe())
    assert not (tmp_path / "one").exists()


def test_a_batch_larger_than_the_images(scenes) -> None:
    with pytest.raises(
        TrainingError, match="batch_size: 21 is more than the 20 captioned images of split 'train'"
    ):
        captions_of(scenes[0], recipe(batch_size=21))
    assert len(captions_of(scenes[0], recipe(batch_size=20))) == 20


def test_temperature_and_bias_do_not_decay(backbone) -> None:
    learning = Learning(backbone, recipe(losses={"siglip": 1}, learn_temperature=True, weight_decay=0.5))
    towers, scalars = learning.optimizer().param_groups
    assert {id(p) for p in scalars["params"]} == {id(learning.log_scale), id(learning.bias)}
    assert (towers["weight_decay"], scalars["weight_decay"]) == (0.5, 0)


def test_a_fixed_temperature_may_be_out_of_the_range_of_one_that_learns(backbone) -> None:
    learning = Learning(backbone, recipe(temperature=0.002))
    learning.clamp()
    assert learning.temperature.item() == pytest.approx(0.002)


def test_the_head_of_views_is_at_most_as_wide_as_slips(backbone, monkeypatch) -> None:
    wide = Learning(backbone, recipe(losses=SUMS["slip"])).head[-1].out_features
    monkeypatch.setattr(module, "HEAD_WIDTH", 3)
    assert Learning(backbone, recipe(losses=SUMS["slip"])).head[-1].out_features == 3 < wide


def test_rates_of_new_parameters_are_their_own(backbone) -> None:
    learning = Learning(backbone, recipe(width=16, losses=SUMS["slip"], projection_lr=0.5, lr=0.25))
    towers, new = learning.optimizer().param_groups
    assert (towers["lr"], new["lr"]) == (0.25, 0.5)
    assert {id(p) for p in new["params"]} == {
        id(p)
        for p in (backbone.model.visual.proj, backbone.model.text_projection, *learning.head.parameters())
    }
    learning_set = {id(p) for p in learning.parameters() if p.requires_grad}
    assert {id(p) for group in (towers, new) for p in group["params"]} == learning_set
    assert id(backbone.model.logit_scale) not in learning_set and id(learning.log_scale) not in learning_set
    assert trainer.POINTS >= 9  # so that the curves above have a row for each step


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("asked", [*ASKED, "an autocast that is off"])
def test_what_is_asked_of_torch_around_it_changes_no_bit(train, tmp_path, asked, precision) -> None:
    short = recipe(epochs=1, width=8, precision=precision, losses={"clip": 1.0, "slip": 0.5})
    folder, curves = train("plain", short)
    with ASKED.get(asked, partial(torch.autocast, "cpu", enabled=False))():
        found, rows = train("asked", short, scratch=tmp_path / "other")
    assert rows == curves
    assert (found / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
