from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from crossgap import fingerprint
from crossgap.metrics import gap
from crossgap.prepared import manifest
from crossgap.training import encoders as encoders_module
from crossgap.training import idealised as experiment
from crossgap.training.encoders import Architecture, Encoders, Pixels, translation
from crossgap.training.idealised import (
    MEASURES,
    Tables,
    chosen,
    frame_steps,
    idealised,
    measured_steps,
    tables,
)
from crossgap.training.idealised_recipe import Idealised, Settings
from crossgap.training.live import live
from crossgap.training.trainer import TrainingError
from tests.asked import ASKED

COUNT, BATCH, WIDTH, EPOCHS = 40, 8, 12, 4
SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from crossgap.prepared import manifest
from crossgap.training.idealised import idealised
from crossgap.training.idealised_recipe import Idealised
recipe, root, scratch = Idealised.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
idealised(recipe, manifest.read(root), root, scratch=scratch, save_seconds=0)
"""


def held(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> tuple[pd.DataFrame, Path]:
    """Images of a few coloured blocks each, so that a tiny tower can tell them apart, and a text."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(COUNT + 2):
        name = f"{number}.png"
        blocks = rng.integers(0, 256, (2, 2, 3), np.uint8)
        Image.fromarray(blocks.repeat(16, axis=0).repeat(16, axis=1)).save(root / name)
        digest = fingerprint.of_content((root / name).read_bytes())
        rows.append((name, "image", "train" if number < COUNT else "test", name, None, name, 0, digest))
    rows.append(("t", "text", "train", None, "a", "0.png", 0, manifest.text_digest("a")))
    frame = manifest.validate(pd.DataFrame(rows, columns=list(manifest.COLUMNS)))
    manifest.write(frame, root)
    return frame, root


@pytest.fixture(scope="module")
def recipe(tiny_folder) -> Idealised:
    return Idealised(
        dataset="blocks",
        images=COUNT,
        architecture=f"local-dir:{tiny_folder}",
        run={"width": WIDTH, "batch_size": BATCH, "lr": 0.003, "epochs": EPOCHS},
        sweep={"temperatures": [0.5]},
        toy={"images": 20, "batch_sizes": [3], "epochs": 2, "frames": 5},
    )


@pytest.fixture(scope="module")
def done(dataset, recipe, tmp_path_factory) -> tuple[dict, Path]:
    """All runs, nothing in their way, and the scratch folder that they leave."""
    scratch = tmp_path_factory.mktemp("undisturbed")
    torch.manual_seed(7)
    return idealised(recipe, *dataset, scratch=scratch), scratch


@pytest.fixture
def encoders(dataset, recipe) -> tuple[Encoders, Pixels]:
    architecture = Architecture(recipe.architecture)
    images = chosen(dataset[0], "train", COUNT)
    pixels = Pixels(experiment.Images(images, dataset[1], architecture.transform), "cpu")
    return Encoders(architecture, recipe.run, 0, COUNT), pixels


def unit(rows: np.ndarray) -> np.ndarray:
    return np.array([row / math.sqrt(sum(value * value for value in row)) for row in rows])


def test_the_clouds_overlap_at_first_and_the_loss_falls(done) -> None:
    for name, found in done[0].items():
        first, last = found.curves[0], found.curves[-1]
        assert first["step"] == 0 and first["centroid_distance"] < 1e-6, name
        assert last["loss"] < first["loss"], name
        assert all(math.isfinite(row[measure]) for row in found.curves for measure in MEASURES)
    base = done[0]["base"].curves
    assert base[0]["loss"] == pytest.approx(math.log(BATCH), abs=1)
    assert base[-1]["loss"] < 0.8 * base[0]["loss"] and base[-1]["step"] == EPOCHS * (COUNT // BATCH)
    assert 0.2 < base[0]["linear_separability"] < 0.7
    # far above every cosine over it, a temperature leaves nothing to tell pairs by
    assert done[0]["temperature-0.5"].curves[0]["loss"] == pytest.approx(math.log(BATCH), abs=0.1)


def test_features_are_those_of_open_clip_moved_by_the_translation(encoders, dataset, recipe) -> None:
    twins, pixels = encoders
    twins.place(pixels, COUNT, 0, 0)
    config = json.loads((Path(recipe.architecture[10:]) / "open_clip_config.json").read_text())["model_cfg"]
    towers = []
    for seed in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            text = encoders_module._NO_TEXTS
            towers.append(open_clip.CLIP(WIDTH, config["vision_cfg"], text).visual.eval())
    transform = open_clip.create_model_and_transforms(recipe.architecture)[2]
    raw = []
    for row in chosen(dataset[0], "train", COUNT).itertuples():
        batch = transform(Image.open(dataset[1] / row.path)).unsqueeze(0)
        with torch.no_grad():
            raw.append([tower(batch)[0].double().numpy() for tower in towers])
    x, y = unit([pair[0] for pair in raw]), unit([pair[1] for pair in raw])
    assert np.linalg.norm(x - y, axis=1).min() > 0.1
    first, second = twins.of_all(pixels, COUNT)
    np.testing.assert_allclose(first.numpy(), x, atol=1e-5)
    np.testing.assert_allclose(second.numpy(), unit(y + translation(x, y)), atol=1e-4)


@pytest.mark.parametrize(("width", "spread"), [(2, 0.1), (3, 0.3), (16, 0.5), (64, 0.02)])
def test_the_translation_makes_the_means_coincide(width, spread) -> None:
    rng = np.random.default_rng(width)
    x, y = (unit(rng.normal(size=width) + spread * rng.normal(size=(200, width))) for _ in range(2))
    moved = unit(y + translation(x, y))
    assert np.linalg.norm(x.mean(axis=0) - moved.mean(axis=0)) < 1e-8
    assert np.linalg.norm(x.mean(axis=0) - y.mean(axis=0)) > 1e-3
    # nothing else is done to y: what one vector moves is one vector apart
    by = translation(x, y)
    scale = np.array([row @ (a + by) for row, a in zip(moved, y, strict=True)])
    np.testing.assert_allclose(scale[:, None] * moved - y, np.tile(by, (200, 1)), atol=1e-9)


@pytest.mark.parametrize("gap", [0.01, 0.5, 1.3])
def test_a_start_with_a_gap_has_it_and_is_as_spread_out(gap) -> None:
    rng = np.random.default_rng(5)
    x, y = (unit(rng.normal(size=8) + 0.5 * rng.normal(size=(300, 8))) for _ in range(2))
    mean = x.mean(axis=0)
    found = [unit(y + translation(x, y, gap, seed)).mean(axis=0) for seed in (0, 0, 1)]
    for moved in found:
        assert np.linalg.norm(moved - mean) == pytest.approx(gap, abs=1e-7)
        assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(mean), abs=1e-7)
    assert np.array_equal(found[0], found[1]) and np.linalg.norm(found[2] - found[0]) > gap / 10
    assert np.linalg.norm(unit(x + translation(x, x, gap)).mean(axis=0) - mean) == pytest.approx(
        gap, abs=1e-7
    )
    most = 2 * np.linalg.norm(mean)
    with pytest.raises(
        TrainingError, match=f"gap: 1.9 is more than {most:.3g}, twice the length .*give less"
    ):
        translation(x, y, 1.9)


@pytest.mark.parametrize(("share", "exchanged"), [(0, 0), (0.1, 4), (0.125, 5), (0.5, 20), (1, 40)])
def test_a_share_of_the_partners_is_passed_on(share, exchanged) -> None:
    keys = np.random.default_rng(0).integers(0, 2**63, 40, np.uint64)
    found = experiment.partners(keys, share, 3)
    assert sorted(found) == list(range(40)) and (found != np.arange(40)).sum() == exchanged
    circle = list(np.flatnonzero(found != np.arange(40))[:1])
    while circle and found[circle[-1]] != circle[0]:
        circle.append(found[circle[-1]])
    assert len(circle) == exchanged
    # by key and seed, not by place
    turned = experiment.partners(keys[::-1], share, 3)
    assert dict(zip(keys[::-1], keys[::-1][turned], strict=True)) == dict(zip(keys, keys[found], strict=True))
    assert share in (0, 1) or not np.array_equal(found, experiment.partners(keys, share, 4))


def test_mismatched_pairs_and_one_encoder_from_a_gap(dataset, recipe, tmp_path) -> None:
    """The first row by the features of the encoders as drawn; alike clouds that start together stay together."""
    runs = {
        (mismatch, gap): Idealised(
            **{
                **recipe.model_dump(), "sweep": {}, "toy": None,
                "run": {**recipe.run.model_dump(), "epochs": 1, "shared": True, "mismatched": mismatch, "gap": gap},
            }
        )
        for mismatch, gap in ((0.0, 0.0), (0.5, 0.4))
    }  # fmt: skip
    plain, mixed = (idealised(asked, *dataset, scratch=tmp_path)["base"].curves for asked in runs.values())
    for row in plain:
        assert row["centroid_distance"] < 1e-6 and row["alignment"] < 1e-9
    settings = runs[0.5, 0.4].run
    architecture = Architecture(recipe.architecture)
    images = chosen(dataset[0], "train", COUNT)
    pixels = Pixels(experiment.Images(images, dataset[1], architecture.transform), "cpu")
    one = Encoders(architecture, settings, 0, COUNT)
    assert len(list(one.parameters())) == 1 + len(list(architecture.tower(WIDTH, 0).parameters()))
    x, _ = (side.double().numpy() for side in one.of_all(pixels, COUNT))
    keys = experiment.hashed_ids(images["id"])
    partner = experiment.partners(keys, 0.5, 0)
    y = unit(x + translation(x, x, 0.4, 0))[partner]
    assert mixed[0]["centroid_distance"] == pytest.approx(0.4, abs=1e-5)
    assert mixed[0]["alignment"] == pytest.approx(np.square(x - y).sum(axis=1).mean(), abs=1e-4)
    assert mixed[0]["alignment"] > np.square(x - y[np.argsort(partner)]).sum(axis=1).mean()
    assert mixed[0]["loss"] == pytest.approx(np.mean(_losses(x, y, keys)), abs=1e-3)


def test_an_image_of_mismatched_pairs_does_not_teach_what_it_is_asked(dataset, recipe, tmp_path) -> None:
    """One encoder without a gap gives one cloud twice, which nothing tells apart, whichever images are paired."""
    run = {**recipe.run.model_dump(), "epochs": 2, "shared": True, "mismatched": 1.0}
    asked = Idealised(**{**recipe.model_dump(), "sweep": {}, "toy": None, "run": run})
    for row in idealised(asked, *dataset, scratch=tmp_path)["base"].curves:
        assert row["linear_separability"] == 0.5


@pytest.mark.parametrize("shared", [False, True])
def test_a_step_of_mismatched_pairs_learns_each_image_with_its_partner(
    encoders, dataset, recipe, shared
) -> None:
    images = chosen(dataset[0], "train", COUNT)
    keys = experiment.hashed_ids(images["id"])
    settings = recipe.run.model_copy(update={"mismatched": 0.5, "shared": shared})
    both, pixels = Encoders(Architecture(recipe.architecture), settings, 0, COUNT), encoders[1]
    partner = experiment.partners(keys, 0.5, 0)
    pairs = experiment.CaptionedImages(images, [[]] * COUNT, keys)
    step = experiment.learner(both, settings, pairs, partner, pixels, 5).gradients(0)
    x, y = (side.numpy() for side in both.of_all(pixels, COUNT))
    assert step["loss"] == pytest.approx(np.mean(_losses(x, y[partner], keys)[:2]), abs=1e-5)


def test_no_two_seeds_share_a_tower_and_none_trains_as_a_tower_with_dropout_does(recipe) -> None:
    architecture = Architecture(recipe.architecture)
    towers = [
        tower
        for seed in range(3)
        for both in [Encoders(architecture, recipe.run.model_copy(update={"seed": seed}), 0, COUNT)]
        for tower in (both.first, both.second)
    ]
    assert not any(module.training for tower in towers for module in tower.modules())
    assert len({tower.conv1.weight.detach().numpy().tobytes() for tower in towers}) == 6


def test_features_that_are_drawn_lie_beside_those_of_their_partners(dataset, recipe, tmp_path) -> None:
    run = {**recipe.run.model_dump(), "epochs": 1, "mismatched": 1.0}
    toy = {"images": 6, "batch_sizes": [3], "epochs": 1, "frames": 2}
    asked = Idealised(**{**recipe.model_dump(), "sweep": {}, "toy": toy, "run": run})
    ((settings, images, found),) = (
        (one.settings, chosen(dataset[0], "train", one.images), found)
        for one, found in zip(
            asked.runs.values(), idealised(asked, *dataset, scratch=tmp_path).values(), strict=True
        )
        if one.frames
    )
    architecture = Architecture(asked.architecture)
    pixels = Pixels(experiment.Images(images, dataset[1], architecture.transform), "cpu")
    both = Encoders(architecture, settings, 0, len(images))
    both.place(pixels, len(images), settings.gap, settings.seed)
    partner = experiment.partners(experiment.hashed_ids(images["id"]), 1.0, settings.seed)
    first, second = both.of_all(pixels, len(images))
    for drawn, features in zip(found.frames[0], (first, second[partner]), strict=True):
        np.testing.assert_allclose(drawn, features.numpy(), atol=1e-3)


def test_what_is_kept_of_a_run_is_of_its_images_and_architecture_alone(
    dataset, recipe, tiny_folder, tmp_path, monkeypatch
) -> None:
    class Stopped(Exception):
        """No step is needed."""

    def kept(asked: Idealised, items: pd.DataFrame) -> str:
        def stop(_learner: object, _steps: int, checkpoint: Path, **_: object) -> None:
            seen.append(checkpoint.parent.name)
            raise Stopped

        seen: list[str] = []
        monkeypatch.setattr(experiment, "fit", stop)
        with pytest.raises(Stopped):
            idealised(asked, items, dataset[1], scratch=tmp_path / "scratch")
        return seen[0]

    items = dataset[0]
    folder = shutil.copytree(tiny_folder, tmp_path / "other")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.1, 0.2, 0.3]
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    other = recipe.model_copy(update={"architecture": f"local-dir:{folder}"})
    boxed = items.assign(box=np.where(items["modality"] == "image", "0 0 16 16", None))
    assert kept(recipe, items) == kept(recipe, items)
    assert len({kept(recipe, items), kept(other, items), kept(recipe, boxed)}) == 3


def _losses(x: np.ndarray, y: np.ndarray, keys: np.ndarray) -> list[float]:
    order = np.argsort(experiment.hashed(0, "order", 0, keys), kind="stable")
    found = []
    for rows in order[: len(order) // BATCH * BATCH].reshape(-1, BATCH):
        logits, at = torch.from_numpy(x[rows] @ y[rows].T / 0.07), torch.arange(BATCH)
        found += [torch.nn.functional.cross_entropy(side, at).item() for side in (logits, logits.T)]
    return found


def test_one_point_has_no_cloud_to_overlap_with() -> None:
    x, y = np.tile([0.6, 0.8], (5, 1)), unit(np.random.default_rng(0).normal(size=(5, 2)))
    for one, other in ((x, y), (y, x)):
        with pytest.raises(TrainingError, match="all images one feature"):
            translation(one, other)


def test_a_kink_of_the_convex_function_is_no_obstacle() -> None:
    """In the plane a few far rows may want one of the others at the origin itself, where its direction is free."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        x, y = (unit(rng.normal(size=(4, 2)) + rng.normal(size=2)) for _ in range(2))
        c = translation(x, y)
        assert np.isfinite(c).all()
        lengths = np.linalg.norm(y + c, axis=1)
        left = [row / length for row, length in zip(y + c, lengths, strict=True) if length > 1e-6]
        distance = np.linalg.norm(np.sum(left, axis=0) / 4 - x.mean(axis=0))
        assert distance < (1e-8 if len(left) == 4 else (4 - len(left)) / 4 + 1e-6)


def test_measures_are_of_all_features_and_the_loss_of_batches() -> None:
    rng = np.random.default_rng(3)
    x, y = unit(rng.normal(size=(30, 5))), unit(rng.normal(size=(30, 5)) + 0.5)
    batches = [[4, 0, 9, 2], [7, 1, 3, 8]]
    losses = []
    for rows in batches:
        for one, other in ((x, y), (y, x)):
            for i in rows:
                logits = [float(one[i] @ other[j]) / 0.2 for j in rows]
                losses.append(math.log(sum(map(math.exp, logits))) - float(one[i] @ other[i]) / 0.2)
    # the images' features come in an order of their own, and their partners' rows with them
    order = rng.permutation(30)
    by_image = torch.tensor(y[order])
    found = experiment.measures(torch.tensor(x), by_image, np.argsort(order), torch.tensor(0.2), batches)
    assert tuple(found) == MEASURES
    assert found["loss"] == pytest.approx(np.mean(losses), abs=1e-9)
    assert found["centroid_distance"] == pytest.approx(np.linalg.norm(x.mean(axis=0) - y.mean(axis=0)))
    assert found["uniformity_second"] == gap.uniformity(y[order])
    assert found["alignment"] == gap.alignment(x, y)
    assert found["linear_separability"] == gap.linear_separability(x, y[order])


def test_points_in_time() -> None:
    for steps in (1, 2, 7, 100, 12345):
        for found in (measured_steps(steps), frame_steps(steps, 24)):
            assert found[0] == 0 and found[-1] == steps and found == sorted(set(found))
        assert len(frame_steps(steps, 24)) <= 24
    assert frame_steps(100, 0) == [] and frame_steps(100, 2) == [0, 100]


def test_a_run_is_a_function_of_its_recipe(dataset, recipe, done, tmp_path) -> None:
    other = recipe.model_copy(update={"run": recipe.run.model_copy(update={"seed": 1})})
    shuffled = dataset[0].sample(frac=1, random_state=0)
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    assert idealised(recipe, shuffled, dataset[1], scratch=tmp_path) == done[0]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert idealised(other, *dataset, scratch=tmp_path)["base"] != done[0]["base"]


def test_a_run_stopped_by_an_error_goes_on_with_the_same_bits(
    dataset, recipe, done, tmp_path, monkeypatch
) -> None:
    steps = iter(range(17))
    clip, states = experiment.clip, []

    def fails(*arguments):
        if next(steps, None) is None:
            raise RuntimeError("the power is gone")
        return clip(*arguments)

    # of the 17 losses 5 are measured at step 0 and at each step after it
    monkeypatch.setattr(experiment, "clip", fails)
    with pytest.raises(RuntimeError, match="power"):
        idealised(recipe, *dataset, scratch=tmp_path, save_seconds=0)
    (checkpoint,) = tmp_path.rglob("*.pt")
    states.append(torch.load(checkpoint, weights_only=True))
    assert 0 < states[0]["step"] < EPOCHS * (COUNT // BATCH)
    monkeypatch.setattr(experiment, "clip", clip)
    assert idealised(recipe, *dataset, scratch=tmp_path) == done[0]
    assert not list(tmp_path.rglob("*.pt"))
    assert held(tmp_path) == held(done[1])


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(dataset, recipe, done, tmp_path) -> None:
    torch.set_num_threads(1)
    arguments = [recipe.model_dump_json(), str(dataset[1]), str(tmp_path)]
    killed = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:  # in the middle of the second run
        while len(list(tmp_path.rglob("found.json"))) < 1 or not list(tmp_path.rglob("*.pt")):
            assert killed.poll() is None
            time.sleep(0.002)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert len(list(tmp_path.rglob("found.json"))) < len(recipe.runs)
    assert idealised(recipe, *dataset, scratch=tmp_path) == done[0]
    assert held(tmp_path) == held(done[1])


def test_an_edited_sweep_pays_for_its_new_runs_only(dataset, recipe, done, monkeypatch) -> None:
    fitted, rows = [], []
    fit = experiment.fit
    monkeypatch.setattr(experiment, "fit", lambda *a, **b: fitted.append(b["label"]) or fit(*a, **b))
    longer = recipe.model_copy(update={"sweep": recipe.sweep.model_copy(update={"widths": [6]})})
    found = idealised(longer, *dataset, scratch=done[1], name="blocks", log=rows.append)
    assert fitted == ["blocks width-6 (2 of 4)"]
    assert {name: found[name] for name in done[0]} == done[0]
    assert rows == found["base"].curves
    for path in done[1].rglob("found.json"):
        if json.loads(path.read_text())["curves"] == found["width-6"].curves:
            path.unlink()


def test_a_learned_temperature_is_measured_and_stays_in_its_range(dataset, recipe, tmp_path) -> None:
    run = recipe.run.model_copy(update={"learn_temperature": True, "lr": 0.5, "temperature": 0.02})
    learned = Idealised(**{**recipe.model_dump(), "run": run, "sweep": {}, "toy": None})
    curves = idealised(learned, *dataset, scratch=tmp_path)["base"].curves
    seen = [row["temperature"] for row in curves]
    assert seen[0] == pytest.approx(0.02) and len(set(seen)) > 3
    assert all(0.01 - 1e-6 <= value <= 1 + 1e-6 for value in seen)


def test_images_that_do_not_fit_are_decoded_for_each_batch(
    dataset, recipe, done, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(encoders_module, "HELD", 1)
    short = Idealised(**{**recipe.model_dump(), "sweep": {}, "toy": None})
    assert idealised(short, *dataset, scratch=tmp_path)["base"] == done[0]["base"]


def test_tables_hold_every_run(recipe, done) -> None:
    found = tables(recipe, done[0])
    assert isinstance(found, Tables)
    assert list(found.runs["run"]) == ["base", "temperature-0.5", "toy-3"]
    base = found.runs.iloc[0]
    assert (base["width"], base["batch_size"], base["temperature"]) == (WIDTH, BATCH, 0.07)
    assert (base["seed"], base["images"], base["epochs"], base["steps"]) == (0, COUNT, EPOCHS, 20)
    curves = found.curves[found.curves["run"] == "base"]
    for measure in MEASURES:
        assert base[f"{measure}_first"] == curves[measure].iloc[0]
        assert base[f"{measure}_last"] == curves[measure].iloc[-1]
    assert found.metrics.keys() == {"base", "toy-3"}
    last = [base[f"{name}_last"] for name in ("loss", "centroid_distance", "linear_separability")]
    assert list(found.metrics["base"].values()) == pytest.approx(last, rel=1e-4)
    toy = found.toy
    assert set(toy["step"]) == set(frame_steps(12, 5)) and set(toy["batch_size"]) == {3}
    assert len(toy) == toy["step"].nunique() * 2 * 20
    np.testing.assert_allclose((toy[["x", "y", "z"]] ** 2).sum(axis=1), 1, atol=3e-4)
    for step, row in (
        (step, row) for step in set(toy["step"]) for row in done[0]["toy-3"].curves if row["step"] == step
    ):
        clouds = [toy[(toy["step"] == step) & (toy["encoder"] == name)] for name in ("first", "second")]
        drawn = [cloud.sort_values("item")[["x", "y", "z"]].to_numpy() for cloud in clouds]
        assert gap.centroid_distance(*drawn) == pytest.approx(row["centroid_distance"], abs=2e-4)
        assert gap.alignment(*drawn) == pytest.approx(row["alignment"], abs=1e-3)


def test_runs_are_one_change_at_a_time_with_every_seed() -> None:
    recipe = Idealised(
        dataset="world",
        sweep={
            "widths": [512, 64],
            "batch_sizes": [32],
            "temperatures": [0.01],
            "seeds": [0, 3],
            "mismatched": [0.25],
            "gaps": [0, 0.5],
        },
        toy={"batch_sizes": [3, 8]},
    )
    runs = recipe.runs
    names = ["base", "width-64", "batch_size-32", "temperature-0.01", "mismatched-0.25", "gap-0.5"]
    assert list(runs) == [*(run for name in names for run in (name, f"{name}-seed-3")), "toy-3", "toy-8"]
    assert runs["width-64-seed-3"].settings == Settings(width=64, seed=3)
    assert runs["batch_size-32"].settings == Settings(batch_size=32) and runs["base"].images == 2048
    toy = runs["toy-8"]
    assert toy.settings == Settings(width=3, batch_size=8, epochs=100) and (toy.images, toy.frames) == (
        256,
        24,
    )


def test_runs_whose_values_are_close_have_names_of_their_own() -> None:
    close = [0.01, 0.010000001]
    runs = Idealised(dataset="world", sweep={"temperatures": close, "gaps": [1]}).runs
    assert list(runs) == ["base", "temperature-0.01", "temperature-0.010000001", "gap-1"]
    assert [run.settings.temperature for run in runs.values()] == [0.07, *close, 0.07]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": {"batch_size": 1}}, "greater than or equal to 2"),
        ({"run": {"width": 1}}, "greater than or equal to 2"),
        ({"run": {"temperature": 0}}, "greater than 0"),
        ({"sweep": {"temperatures": [0.1, -1]}}, "greater than 0"),
        ({"sweep": {"widths": [8, 8]}}, "named twice: 8"),
        ({"run": {"batch_size": 50}, "images": 40}, "run.batch_size: 50 is more than the 40 images"),
        ({"sweep": {"batch_sizes": [4, 3000]}}, "sweep.batch_sizes: 3000 is more than the 2048"),
        ({"toy": {"batch_sizes": [300]}}, "toy.batch_sizes: 300 is more than the 256"),
        ({"toy": {}, "images": 200}, "toy.images: 256 is more than the 200"),
        ({"toy": {"width": 2}}, "greater than or equal to 3"),
        ({"architecture": "hf-hub:org/repo"}, "name an architecture"),
        ({"run": {"mismatched": 1.5}}, "less than or equal to 1"),
        ({"run": {"gap": 2}}, "less than 2"),
        (
            {"sweep": {"mismatched": [0.01]}, "images": 130},
            "mismatched: 0.01 of 130 images are fewer than two.*give 0, or",
        ),
        ({"momentum": 1}, "Extra inputs"),
    ],
)
def test_a_wrong_recipe_is_refused(changes, message) -> None:
    with pytest.raises(ValidationError, match=message):
        Idealised(**{"dataset": "world", **changes})


def test_what_does_not_fit_is_an_error_before_anything_is_trained(
    dataset, recipe, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(experiment, "train", None)

    def fails(message: str, **changes) -> None:
        changed = Idealised(**{**recipe.model_dump(), **changes})
        with pytest.raises(TrainingError, match=message):
            idealised(changed, *dataset, scratch=tmp_path)

    fails("images: 41 is more than the 40 images of split 'train'", images=41)
    fails("width: 49 is more than the 48 that the tower", sweep={"widths": [49]})
    fails("none of its [0-9]+ models", architecture="ViT-B-31")
    fails("'local-dir:nowhere' can't be made", architecture="local-dir:nowhere")


def test_a_registered_architecture_has_its_own_preprocessing() -> None:
    resnet = Architecture("RN50")
    assert resnet.transform(Image.new("RGB", (300, 250))).shape == (3, 224, 224)
    assert resnet.config["preprocessing"]["mean"] == open_clip.OPENAI_DATASET_MEAN


def test_live_curves_are_the_rows_and_the_same_again(tmp_path) -> None:
    rows = [
        {"step": 0, "loss": 2.0},
        {"step": 5, "loss": 1.5, "gap": 0.25},
        {"step": 20, "loss": 0.5, "gap": 1 / 3},
    ]
    (tmp_path / "one" / "plots" / "metrics").mkdir(parents=True)
    (tmp_path / "one" / "plots" / "metrics" / "old.tsv").write_text("step\told\n")
    for name in ("one", "two"):
        with live(tmp_path / name) as log:
            for row in rows:
                log(row)
    plots = tmp_path / "one" / "plots" / "metrics"
    loss = pd.read_csv(plots / "loss.tsv", sep="\t")
    assert list(loss["step"]) == [0, 5, 20] and list(loss["loss"]) == [2.0, 1.5, 0.5]
    assert list(pd.read_csv(plots / "gap.tsv", sep="\t")["step"]) == [5, 20]
    assert json.loads((tmp_path / "one" / "metrics.json").read_text()) == {
        "training": {"loss": 0.5, "gap": 0.33333, "step": 20}
    }
    files = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("one", "two")
    ]
    assert files[0] == files[1] and len(files[0]) == 3


@pytest.mark.parametrize("asked", ["autocast", "medium", "bfloat16", "inference"])
def test_what_is_asked_of_torch_around_it_changes_no_bit(dataset, recipe, done, tmp_path, asked) -> None:
    with ASKED[asked]():
        assert idealised(recipe, *dataset, scratch=tmp_path) == done[0]
