"""The pipeline on the real DVC. The tests of one module share a project and run in order: each edits what the
last one left, since a fresh run for each would take minutes."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from crossgap import closure, open_store, read_metrics
from tests.report.conftest import Page

pytestmark = pytest.mark.slow
PLAIN = True  # the first runs are by processes as users start them

README = Path(__file__).parents[2] / "README.md"
EVALUATED = {"evaluate@nano-world", "report"}
SWEEP, SEED = "sweep@nano-world-2", "seeds@nano-world-oti-1"
CELL = {"weights", "encode@nano-world", "oti@nano-world", "ovi@nano-world", SWEEP, SEED, *EVALUATED}


def stages_in(printed: str) -> list[str]:
    """The stages whose command ran, in order."""
    return re.findall(r"^Running stage '(.+)':", printed, re.MULTILINE)


def photo(path: Path, seed: int, size: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.fixture(scope="module")
def photos(project) -> Path:
    """Five photos with captions, three of them good: one is truncated and one has an empty caption beside its own."""
    folder = project / "photos"
    for number in range(5):
        photo(folder / f"{number}.jpg", number)
    truncate(folder / "4.jpg")
    rows = ["image,caption"]
    for number in range(5):
        rows += [f"{number}.jpg,a photo of noise {number}", f"{number}.jpg,grains of number {number}"]
    rows += [f"0.jpg,{'very ' * 90}long", "1.jpg,", "lost.jpg,nobody has seen it"]
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def kinds(project) -> Path:
    """Two classes of three photos, one of them truncated."""
    folder = project / "kinds"
    for number in range(6):
        photo(folder / ("coarse" if number % 2 else "fine") / f"{number}.png", number, 32 + number)
    truncate(folder / "coarse" / "5.png")
    return folder


def test_first_run_makes_everything(whole, project, page_text):
    printed = project.dvc("repro")
    assert set(stages_in(printed)) == {"resolve", "prepare@world", *CELL}
    assert "Stage 'nano' didn't change" in printed, "dvc.lock must be of the weights in the repository"
    page = page_text(project / "data/report/index.html")
    assert '{"backbone":"nano","dataset":"world","uncounted":["two-shapes"]}' in page
    found = project.metrics("nano/world")
    assert found["items/image/test"] == 8
    assert {f"retrieval/{task}/colour/mAP" for task in ("image-image", "oti-image")} < set(found)
    assert {f"retrieval/{task}/group/mAP" for task in ("text-text", "ovi-text", "text-image")} < set(found)
    assert "seeds/oti-image/colour/mAP_std" in found, "inversions of one code enter one mean"
    curves = pd.read_csv(project / "data/metrics/nano/world/curves.csv")
    assert set(curves["tokens"]) >= {1, 2}, "so do those of the sweep"
    assert all(
        0 <= found[f"classification/{task}/shape/accuracy"] <= 1 for task in ("image-text", "oti-text")
    )
    queries = pd.read_parquet(project / "data/metrics/nano/world/tables/queries.parquet")
    of_task = queries[(queries["task"] == "oti-image") & (queries["relevance"] == "colour")]
    assert found["retrieval/oti-image/colour/mAP"] == pytest.approx(of_task["ap"].mean(), abs=1e-6)


def test_no_stage_loads_a_module_that_its_closure_lacks(project, monkeypatch):
    """Of what the first run loaded; carriers import carriers alone, which another test sees to."""
    monkeypatch.chdir(project.folder)
    held = project.loaded()
    kinds = {"prepare", "encode", "oti", "ovi", "sweep", "seeds", "evaluate"}
    scripts = {f"stages.{kind}.__main__" for kind in kinds} | {
        "stages.weights",
        "stages.report",
        "stages.resolve",
    }
    assert {one["ran"] for one in held} == scripts
    for one in held:
        if one["ran"] != "stages.resolve":
            picked = () if one["ran"] == "stages.prepare.__main__" else None  # the embedded set has no reader
            # without a file, so nothing to change
            packages = {"stages", *(f"stages.{kind}" for kind in kinds)}
            lacking = set(one["loaded"]) - closure.closure(one["ran"], chosen=picked) - packages
            assert lacking <= set(closure.CARRIERS), one["ran"]


def test_second_run_does_nothing(project):
    assert project.repro() == set()
    assert "up to date" in project.dvc("status", "-q") + project.dvc("repro")


def test_a_stage_started_by_hand_writes_into_no_file_that_others_share(project, tmp_path):
    """Outputs are links into the cache by `cache.type hardlink`."""
    written = ("resolved", "datasets", "weights", "features", "metrics", "report")
    held = [path for one in written for path in (project / f"data/{one}").rglob("*") if path.is_file()]
    before = {}
    for number, path in enumerate(held):
        link = tmp_path / str(number)
        link.hardlink_to(path)
        before[link] = (path, link.stat().st_mtime_ns)
    size = project.declared["machine"]["batch_size"]
    project.edit(**{"machine.batch_size": 63})
    cells = ("prepare world", "encode nano world", "oti nano world", "ovi nano world", "evaluate nano world")
    for cell in ("resolve", *cells, "weights", "report"):
        project.command(sys.executable, "-m", *f"stages.{cell}".split())
    assert [path for link, (path, then) in before.items() if link.stat().st_mtime_ns != then] == []
    assert sum(not link.samefile(path) for link, (path, _) in before.items()) > 20
    project.edit(**{"machine.batch_size": size})
    project.stage("resolve")


def test_what_a_dvc_user_expects_works(project):
    shown = project.dvc("metrics", "show", "--md").splitlines()[0].strip("|").split("|")
    assert "image_retrieval.oti_gain" in map(str.strip, shown) and len(shown) <= 26, "25 and the path"
    (headline,) = json.loads(project.dvc("metrics", "show", "--json"))[""]["data"].values()
    found = read_metrics(project / "data/metrics/nano/world").query(
        "family == 'retrieval' and metric == 'mAP'"
    )
    by_task = found.groupby("task")["value"].mean()
    gained = headline["data"]["image_retrieval"]["oti_gain"]
    assert gained == pytest.approx(by_task["oti-image"] - by_task["image-image"], abs=2e-6)
    project.dvc("plots", "show")
    plots = (project / "dvc_plots/index.html").read_text()
    assert "Images and texts, nano on world" in plots and "nano/world/curves.csv" in plots
    assert "evaluate@nano-world" in project.dvc("dag", "--mermaid")
    assert "encode@nano-world" in project.dvc("repro", "-R", "stages/encode")
    assert "oti@nano-world" in project.dvc("repro", "stages/oti/dvc.yaml:oti@nano-world")
    assert json.loads(project.dvc("status", "--json").splitlines()[-1]) == {}


def test_the_readmes_lines_of_python_run_after_it(project, monkeypatch, capsys):
    monkeypatch.chdir(project.folder)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    named: dict = {}
    exec(code, named)
    gap, means, _ = capsys.readouterr().out.splitlines()[0:3]
    plain, turned = map(float, means.split())
    found = project.metrics("nano/world")
    assert plain == pytest.approx(found["retrieval/image-image/shape/mAP"], abs=1e-6)
    assert 0 < turned < 1 and "centroid_distance" in gap
    assert named["centred"].shape == named["images"].features.shape
    assert "backbone_provenance" in named["store"].provenance


def test_git_sees_no_output_of_the_pipeline(project):
    project.commit()
    kept = set(project.command("git", "ls-files").splitlines())
    data = {name for name in kept if name.startswith("data/")}
    kept_data = ("data/backbones/nano/", "data/reference/")
    assert all(name.startswith(kept_data) for name in data)
    assert not any(name.startswith(("dvc_plots/", ".dvc/tmp", ".dvc/cache")) for name in kept)


def test_experiment_with_other_ovi_steps_leaves_features_and_oti_alone(project, forking):
    """What is left of an evaluation from here on is quicker."""
    project.run_by(forking.bin)
    project.edit(
        **{"evaluate.corrections": ["centering"], "evaluate.logistic": "none", "evaluate.shots": [1]}
    )
    project.commit()
    store = project / "data/features/nano/world/ovi.zarr.zip"
    before = open_store(store).provenance["recipe"]["steps"]
    ran = project.dvc("exp", "run", "--name", "longer", "-S", "ovi.steps=3")
    assert set(stages_in(ran)) == {"resolve", "ovi@nano-world", *EVALUATED}
    assert (before, open_store(store).provenance["recipe"]["steps"]) == (2, 3)
    assert "longer" in project.dvc("exp", "list", "--all-commits")
    assert "text_retrieval.ovi_gain" in project.dvc("metrics", "diff", "--md")
    assert re.search(r"params.yaml \| ovi.steps +\| 2 +\| 3", project.dvc("params", "diff", "--md"))
    assert "ovi.steps" in project.dvc("exp", "show", "--csv")


def test_parameter_of_evaluate_runs_only_evaluation(project):
    """And the steps of before the experiment are in the run cache."""
    project.edit(**{"evaluate.clouds": 5})
    assert project.repro() == {"resolve", *EVALUATED}
    assert open_store(project / "data/features/nano/world/ovi.zarr.zip").provenance["recipe"]["steps"] == 2


def test_schedule_runs_nothing_but_the_check(project):
    project.edit(**{"machine.batch_size": 7, "machine.inversion_batch_size": 5})
    assert project.repro() == {"resolve"}


def test_deleted_output_comes_back_without_computing(project):
    stores = [project / f"data/features/nano/world/{name}.zarr.zip" for name in ("native", "oti")]
    before = [store.read_bytes() for store in stores]
    for store in stores:
        store.unlink()
    assert project.repro() == set()
    assert [store.read_bytes() for store in stores] == before


def test_an_inversion_that_is_asked_for_and_missing_is_an_error(project):
    """The stage's own command: without DVC, nothing else says that it should be there."""
    path = project / "data/features/nano/world/oti.zarr.zip"
    before = path.read_bytes()
    path.unlink()
    said = project.stage("evaluate", "nano", "world", ok=False)
    assert "oti.zarr.zip" in said and "Traceback" not in said
    path.write_bytes(before)


def test_two_workers_of_a_ray_cluster_give_the_same_tokens(project):
    """The stage's own command, so that DVC's outputs stay as they are."""
    path = project / "data/features/nano/world/oti.zarr.zip"
    before, here = path.read_bytes(), open_store(path)["image/test"]
    ids, tokens, features = here.ids.tolist(), here.tokens, here.features
    project.edit(**{"machine.engine": "ray", "machine.inversion_batch_size": 3})
    project.stage("resolve")
    assert json.loads((project / "data/resolved/machine.json").read_text())["engine"] == "ray"
    shutil.rmtree(project / "data/scratch/oti")
    path.unlink()
    project.stage("oti", "nano", "world")
    there = open_store(path)["image/test"]
    assert there.ids.tolist() == ids
    np.testing.assert_allclose(there.tokens, tokens, atol=1e-4)
    np.testing.assert_allclose(there.features, features, atol=1e-4)
    path.unlink()
    path.write_bytes(before)


OF_ANY_SIZE = """
import sys
from stages import common
run, common.run = common.run, lambda stage: None
from stages.evaluate import __main__ as evaluate
evaluate.LARGE = 1
sys.argv[0] = "evaluate"
run(evaluate.main)
"""


def test_two_workers_of_a_ray_cluster_give_the_same_evaluation(project):
    """With the engine of the test before, and a cell that counts as large."""
    tables = project / "data/metrics/nano/world/tables"
    before, of = (tables / "metrics.csv").read_bytes(), project / "data/scratch/evaluate/nano/world"
    parts = json.loads((of / "used.json").read_text())
    for name in parts[::4]:
        (of / name).unlink()
    project.command(sys.executable, "-c", OF_ANY_SIZE, "nano", "world")
    assert (tables / "metrics.csv").read_bytes() == before
    assert {path.name for path in of.iterdir()} >= set(parts)
    project.edit(**{"machine.engine": "local"})
    project.stage("resolve")


def test_an_evaluation_of_some_families_has_their_numbers_and_a_page(project):
    """By the stages' own commands; at last all families, as they were."""
    before = project.metrics("nano/world")
    for families in (["gap"], ["retrieval", "seeds"], None):
        project.edit(**{"evaluate.families": families})
        for stage in (("resolve",), ("evaluate", "nano", "world"), ("report",)):
            project.stage(*stage)
        prefixes = ("items/", "inversion/", *(f"{name}/" for name in families or ()))
        kept = {name: value for name, value in before.items() if not families or name.startswith(prefixes)}
        assert project.metrics("nano/world") == kept
        page = Page((project / "data/report/index.html").read_text())
        assert ("evaluate.families leaves it out" in page.text) == bool(families)


def test_an_evaluation_depends_on_exactly_the_stores_that_run_names(project):
    """What earlier runs left is cleared away, so a commit gives one result in every clone; it comes back when asked."""
    name = "retrieval/ovi-text/group/mAP"
    store, before = project / "data/features/nano/world/ovi.zarr.zip", project.metrics("nano/world")
    project.edit(**{"run.ovi.datasets": []})
    assert project.repro() == {"resolve", *EVALUATED}
    assert name not in project.metrics("nano/world") and not store.exists()
    project.edit(**{"run.ovi.datasets": ["world"]})
    assert project.repro() == {"resolve"}, "DVC's cache has the store and what was evaluated with it"
    assert project.metrics("nano/world") == before and name in before and store.exists()


def captions_dataset(**more: object) -> dict:
    return {
        "layout": "captions",
        "root": "photos",
        "captions": "photos/captions.csv",
        "retrieval": {"query": "test"},
        **more,
    }


def imagefolder_dataset(**more: object) -> dict:
    return {"layout": "imagefolder", "root": "kinds", "retrieval": {"query": "test"}, **more}


def test_bad_items_are_an_error_that_names_them(project, photos, kinds):
    project.edit(**{"datasets.photos": captions_dataset(), "datasets.kinds": imagefolder_dataset()})
    project.edit(**{"run.datasets": ["world", "photos", "kinds"]})
    said = project.dvc("repro", "prepare@photos", ok=False)
    assert "Traceback" not in said
    for item in (
        "4.jpg",
        "captions.csv line 13: 1.jpg: empty caption",
        "captions.csv line 14: lost.jpg",
        "set_aside",
    ):
        assert item in said
    said = project.dvc("repro", "prepare@kinds", ok=False)
    assert "coarse/5.png" in said and "set_aside" in said and "Traceback" not in said


def test_added_datasets_run_only_their_own_cells(project, photos, kinds, page_text):
    project.edit(
        **{
            "datasets.photos": captions_dataset(on_problem="set_aside"),
            "datasets.kinds": imagefolder_dataset(on_problem="set_aside"),
            "run.oti.datasets": ["world", "kinds"],
            "run.ovi.datasets": ["world", "photos"],
        }
    )
    assert project.repro() == {
        "resolve",
        *(f"prepare@{name}" for name in ("photos", "kinds")),
        *(f"{stage}@nano-{name}" for stage in ("encode", "evaluate") for name in ("photos", "kinds")),
        "oti@nano-kinds",
        "ovi@nano-photos",
        "report",
    }
    captioned, labelled = project.metrics("nano/photos"), project.metrics("nano/kinds")
    assert captioned["items/image/test"] == 4
    assert captioned["items/text/test"] == 9
    assert captioned["items/text/test/truncated"] == 1
    assert {"retrieval/text-image/group/recall@1", "retrieval/ovi-text/group/mAP"} < set(captioned)
    assert labelled["items/image/test"] == 5
    assert {"classification/image-text/class/accuracy", "classification/oti-text/class/accuracy"} < set(
        labelled
    )
    page = page_text(project / "data/report/index.html")
    for item in ("4.jpg", "line 13: 1.jpg", "empty caption", "lost.jpg", "coarse/5.png"):
        assert item in page


def test_added_backbone_runs_only_its_own_cells(project, page_text):
    tiny = {"weights": {"model": "local-dir:tiny"}, "oti": {"tokens": 2}, "ovi": {"patches": 4}}
    run = project.run_of(backbones=["nano", "tiny"], datasets=["kinds"])
    project.edit(**{"backbones.tiny": tiny, "run": run})
    ran = project.repro()
    assert ran == {
        "resolve",
        "weights",
        "encode@tiny-kinds",
        "evaluate@tiny-kinds",
        "evaluate@nano-kinds",
        "report",
    }
    assert not (project / "data/features/nano/kinds/oti.zarr.zip").exists(), "run no longer names it"
    assert not any("oti" in name for name in project.metrics("nano/kinds"))
    page = page_text(project / "data/report/index.html")
    assert '{"backbone":"tiny","dataset":"kinds","uncounted":[]}' in page


def test_changed_photo_is_not_taken_for_the_old_one(project, kinds):
    """DVC doesn't hash the user's folder; the digests in the manifest tell."""
    photo(kinds / "fine" / "0.png", 99)
    project.edit(**{"backbones.tiny.weights": {"model": "local-dir:tiny", "precision": "bf16"}})
    said = project.dvc("repro", ok=False)
    assert stages_in(said) == ["resolve", "weights", "encode@tiny-kinds"]
    assert "fine/0.png" in said and "revision" in said and "Traceback" not in said


def test_wrong_params_stop_before_any_work(project):
    """Those that DVC can't take itself are explained by `crossgap check`."""
    good = project.declared["run"]
    wrong = {
        "oti.stepz": "oti.stepz: unknown key",
        "run.backbones": "run.backbones: 'nanoo' is not declared under backbones",
    }
    for place, message in wrong.items():
        project.edit(**{place: ["nanoo"]})
        said = project.dvc("repro", ok=False)
        assert message in said and "Traceback" not in said
        assert stages_in(said) == ["resolve"]
        project.declared["oti"].pop("stepz", None)
    project.edit(**{"run": {**good, "backbones": "nano"}})
    project.dvc("repro", ok=False)
    said = project.crossgap("check", ok=False)
    assert "run.backbones: give a list" in said and "'nano'" in said and "Traceback" not in said
