"""`crossgap status` and `crossgap clean`, and what the first stage clears away: never what can't be had again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from crossgap.cli import app
from crossgap.evaluation.parts import USED, Parts
from crossgap.evaluation.unavailable import Reasons
from crossgap.inversion.recipes import Recipe
from crossgap.params import load
from crossgap.planning import cached, resolve
from crossgap.planning.cells import cells
from crossgap.planning.discarding import Cache, discard
from crossgap.stores import shards, store, temporary
from crossgap.training import scratch
from tests.runs import run_of

ROOT = Path(__file__).parents[1]
ONE = {"backbones": ["nano"], "datasets": ["world"]}
RUN = run_of(**ONE, oti=ONE, sweep={**ONE, "tokens": [2]}, imports=["mine"])
IMPORT = {"backbone": "theirs", "dataset": "photos", "retrieval": {"query": "test", "gallery": "test"}}
DATA = Path("data")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project's folder, to which the working directory is moved: one cell with OTI and a sweep, and an import."""
    declared = yaml.safe_load((ROOT / "params.yaml").read_text())
    declared |= {"run": RUN, "finetune": {}, "idealised": {}, "imports": {"mine": IMPORT}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(declared))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("stages", "data/reference", "data/backbones/nano"):
        ignored = shutil.ignore_patterns("__pycache__", "*.lock")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dvc(project):
    """DVC in the project: a function that brings the content of files and folders into its cache."""
    from dvc.repo import Repo

    with Repo.init(str(project), no_scm=True) as repo:

        def keep(*paths: Path) -> None:
            copies = [Path(f"kept-{number}") for number in range(len(paths))]
            for path, copy in zip(paths, copies, strict=True):
                shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
            repo.add([str(copy) for copy in copies])
            for copy in copies:
                Path(f"{copy}.dvc").unlink()
                shutil.rmtree(copy) if copy.is_dir() else copy.unlink()

        yield keep


def edit(**values: object) -> None:
    declared = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(declared | values))


def write(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def make(path: Path, **provenance: object) -> Path:
    """A store of two images at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.creating(path, DATA / "scratch" / "made", provenance) as writer:
        columns = {"id": np.array(["a", "b"], object), "group": np.array(["a", "b"], object)}
        writer.add("image/test", columns, [{"features": np.eye(2, dtype=np.float32)}])
    return path


def made_files() -> dict:
    found = resolve.resolved(load(), {})
    resolve.write(found, DATA / "resolved")
    return found


def recipe_of(files: dict, cell: str) -> dict:
    """What the shards of an inversion are named by, as its stage writes it."""
    held = files[cell]
    return {"code": held["code"], "method": held["method"], "recipe": Recipe(**held["recipe"]).as_dict()}


def shard(kind: str, recipe: dict) -> Path:
    """A folder of shards."""
    found = shards.Shards.of(DATA / "scratch" / kind, recipe)
    found.put(["a"], {"features": np.ones((1, 2), np.float32)})
    return found.folder


def evaluation(*cell: str, used: tuple[str, ...], others: tuple[str, ...] = ()) -> dict[str, Path]:
    """The parts of an evaluation that has ended, and others from before; by name."""
    folder = DATA.joinpath("scratch", "evaluate", *cell)

    def compute(names: tuple[str, ...]) -> Parts:
        parts = Parts(folder)
        for name in names:
            parts.of("gap", name, lambda: {}, lambda _: {"x": 1.0}, Reasons())
        return parts

    compute(others)
    compute(used).say_used()
    return {name: next(folder.glob(f"gap-{name}-*.part")) for name in (*used, *others)}


def ran(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == code, done.output
    return done.output


def wasted() -> dict[str, str]:
    params = load()
    found = cached.wasted(params, resolve.resolved(params, {}), DATA)
    return {one.path.as_posix(): one.why for one in found}


def everything(folder: Path = DATA) -> set[str]:
    return {path.as_posix() for path in folder.rglob("*")}


FOLDER = DATA / "features" / "nano" / "world"
MODEL = {
    "model": "ViT-B-32",
    "pretrained": "openai",
    "precision": "fp32",
    "weights_sha256": "0123456789abcdef",
}


def test_the_state_of_stores_and_what_made_them(project):
    make(FOLDER / "native.zarr.zip", backbone="nano", backbone_provenance=MODEL, code="c0ffee0000")
    inversion = {
        "method": {"name": "oti", "template": "a {}", "tokens": 2},
        "recipe": {"steps": 20, "seed": 3},
    }
    make(FOLDER / "oti.zarr.zip", backbone_provenance=MODEL, **inversion)
    make(FOLDER / "oti-2.zarr.zip", not_applicable="nothing to invert")
    make(FOLDER / "oti-4.zarr.zip", method="of another kind")
    make(DATA / "features" / "gone" / "world" / "native.zarr.zip", source="elsewhere")
    make(DATA / "imports" / "mine" / "native.zarr.zip", backbone="theirs", source="import")
    stale = {cell.name for cell in cells(load()) if cell.stage == "sweep"}
    found = {one.path.relative_to(DATA).as_posix(): one for one in cached.stores(load(), DATA, stale)}
    assert {name: one.state for name, one in found.items()} == {
        "features/gone/world/native.zarr.zip": "not named by run",
        "features/nano/world/native.zarr.zip": "up to date",
        "features/nano/world/oti.zarr.zip": "up to date",
        "features/nano/world/oti-2.zarr.zip": "out of date",
        "features/nano/world/oti-4.zarr.zip": "not named by run",
        "imports/mine/native.zarr.zip": "imported",
    }
    by = {name.rpartition("/")[2]: one.made_by for name, one in found.items() if "nano" in name}
    assert by["native.zarr.zip"] == "ViT-B-32 openai fp32; weights 01234567; code c0ffee00"
    assert by["oti.zarr.zip"] == (
        "ViT-B-32 openai fp32; weights 01234567; oti, template a {}, tokens 2, 20 steps, seed 3"
    )
    assert by["oti-2.zarr.zip"] == "empty: nothing to invert"
    assert found["imports/mine/native.zarr.zip"].made_by == "theirs"
    assert all(one.bytes == (DATA / name).stat().st_size for name, one in found.items())


def test_a_damaged_store_is_told_and_no_other_is_hidden_by_it(project):
    make(FOLDER / "native.zarr.zip", backbone_provenance=MODEL)
    whole = make(FOLDER / "oti.zarr.zip", backbone_provenance=MODEL).read_bytes()
    (FOLDER / "oti.zarr.zip").write_bytes(whole[: len(whole) // 2])
    native, oti = cached.stores(load(), DATA, set())
    assert native.made_by.startswith("ViT-B-32") and oti.made_by.startswith("damaged: ")


def test_shards_of_another_code_or_recipe_are_waste_and_those_a_cell_asks_for_are_kept(project):
    files = made_files()
    code = files["encode/nano/world.json"]["code"]
    oti, sweep = (recipe_of(files, name) for name in ("oti/nano/world.json", "sweep/nano/world/2.json"))
    kept = [
        shard("encode", {"code": code, "modality": "image", "backbone": MODEL}),
        shard("oti", {**oti, "inverts": "a store"}),
        shard("oti", {**sweep, "inverts": "a store"}),
    ]
    gone = [
        shard("encode", {"code": "older", "modality": "image", "backbone": MODEL}),
        shard("oti", {**oti, "code": "older"}),
        shard("oti", {**oti, "method": {**oti["method"], "tokens": 4}}),
        shard("oti", {**oti, "recipe": {**oti["recipe"], "steps": oti["recipe"]["steps"] + 1}}),
        shard("ovi", oti),
    ]
    told = shard("encode", {"code": "unknown"})
    (told / "recipe.json").write_text("{")  # nobody can say what made these: they stay
    why = "made by code or a recipe that no cell of the run has"
    assert wasted() == dict.fromkeys(map(Path.as_posix, gone), why)
    ran("clean")
    assert all(path.is_dir() for path in [*kept, told]) and not any(path.exists() for path in gone)


TRAINED = {
    "pretrain": {"small": {"steps": 9}},
    "finetune": {"tuned": {"backbone": "nano", "dataset": "world", "epochs": 1, "batch_size": 2}},
    "idealised": {"gap": {"dataset": "world", "images": 40, "run": {"batch_size": 8, "epochs": 1}}},
    "run": {**RUN, "distil": {**ONE, "sources": ["world"], "methods": ["oti"], "losses": ["cosine"]}},
}


def training(kind: str, made_by: dict, file: str = scratch.CHECKPOINT) -> Path:
    """What a training that was ended left, or, of `idealised`, a run that is done."""
    folder = scratch.folder(DATA / "scratch" / kind, made_by, made_by)
    write(folder / file)
    return folder


def test_checkpoints_of_no_training_of_the_run_are_waste_and_those_it_goes_on_from_are_kept(project):
    edit(**TRAINED)
    files = made_files()
    made = {
        "pretrain": files["pretrain/small.json"],
        "finetune": files["finetune/tuned.json"],
        "distil": files["distil/nano/world/oti/cosine.json"],
    }
    made = {
        kind: {name: held[name] for name in ("code", "recipe", "method", "loss") if name in held}
        for kind, held in made.items()
    }
    settings = load().idealised["gap"].runs["base"].settings.model_dump()
    made["idealised"] = {"code": files["idealised/gap.json"]["code"], "settings": settings}
    kept = [training(kind, held) for kind, held in made.items()]
    kept.append(
        training("pretrain", {name: files["pretrain/nano.json"][name] for name in ("code", "recipe")})
    )
    gone = [training(kind, {**held, "code": "older"}) for kind, held in made.items()]
    gone += [
        training("finetune", {**made["finetune"], "recipe": {**made["finetune"]["recipe"], "lr": 3.0}}),
        training("distil", {**made["distil"], "loss": "mixed"}),
        training("idealised", {**made["idealised"], "settings": {**settings, "epochs": 9}}, "found.json"),
    ]
    running = training("finetune", {**made["finetune"], "code": "of a process that lives"})
    write(running / f"training.{temporary._HOST}.{os.getpid()}.01234567.tmp")
    assert wasted().keys() == {path.as_posix() for path in gone}
    ran("clean")
    assert all(path.is_dir() for path in [*kept, running]) and not any(path.exists() for path in gone)


def test_what_is_named_is_what_params_say_now_not_what_the_last_run_resolved(project):
    files = made_files()
    edit(oti={**yaml.safe_load(Path("params.yaml").read_text())["oti"], "steps": 7})
    asked = resolve.resolved(load(), {})
    now, before = (shard("oti", recipe_of(held, "oti/nano/world.json")) for held in (asked, files))
    assert list(wasted()) == [before.as_posix()] and now.is_dir()


def test_parts_that_the_last_evaluation_did_without(project):
    of = evaluation("nano", "world", used=("a", "b"), others=("old",))
    assert wasted() == {of["old"].as_posix(): "the last evaluation of its cell did without"}
    later = evaluation("mine", used=("a",))
    new = of["a"].with_name("gap-new-0.part")
    new.write_bytes(b"of an evaluation that was killed")
    os.utime(new, ns=(1 << 61, 1 << 61))
    ran("clean")
    assert not of["old"].exists() and all(path.exists() for path in (of["a"], of["b"], new, later["a"]))


def test_parts_of_a_cell_are_not_lost_with_those_of_an_import_of_its_backbones_name(project):
    cell, other = evaluation("nano", "world", used=("a",)), evaluation("nano", used=("a",))
    gone = evaluation("left", "world", used=("a",))
    ran("clean")
    assert cell["a"].exists() and (cell["a"].parent / USED).exists()
    assert not other["a"].exists() and not (DATA / "scratch" / "evaluate" / "left").exists()
    assert not gone["a"].exists()


def test_checks_and_stamps_of_files_go_with_their_dataset(project):
    kept, gone = (
        [write(DATA / "scratch" / "prepare" / f"{name}{ending}") for ending in (".checks", "-0a1b.stamps")]
        for name in ("world", "gone")
    )
    assert wasted() == dict.fromkeys(map(Path.as_posix, gone), "no cell of the run prepares this dataset")
    ran("clean")
    assert all(map(Path.exists, kept)) and not any(map(Path.exists, gone))


def unnamed() -> dict[str, Path]:
    """Outputs that no cell of the run makes."""
    return {
        "store": make(FOLDER / "oti-4.zarr.zip", code="x"),
        "features": make(DATA / "features" / "gone" / "world" / "native.zarr.zip", code="y").parent,
        "dataset": write(DATA / "datasets" / "gone" / "manifest.parquet", "of a dataset").parent,
        "metrics": write(DATA / "metrics" / "gone" / "world" / "metrics.json", "{}").parent,
        "trained": write(
            DATA / "backbones" / "tuned" / "made_by.json", '{"section": "finetune", "row": "tuned"}'
        ).parent,
    }


def test_clean_removes_what_dvcs_cache_holds_and_says_what_it_leaves(project, dvc):
    make(FOLDER / "native.zarr.zip", code="z")
    outputs = unnamed()
    mine = write(DATA / "datasets" / "mine" / "photo.jpg", "made by hand")
    write(DATA / "datasets" / "gone" / "images" / "one.png", "of a dataset too")
    dvc(*outputs.values())
    before = everything()
    told = ran("clean", "--dry-run")
    assert everything() == before and "would remove 5 files and folders" in told
    told = ran("clean")
    assert "removed 5 files and folders" in told
    assert not any(path.exists() for path in outputs.values())
    assert mine.read_text() == "made by hand" and (FOLDER / "native.zarr.zip").is_file()
    assert "left: data/datasets/mine" in told and "DVC's cache doesn't hold it" in told


def test_clean_leaves_what_dvcs_cache_lacks_in_whole_or_in_part(project, dvc):
    """As after `dvc repro --no-commit`, after `dvc gc`, or with a file that a user put into an output."""
    outputs = unnamed()
    dvc(outputs["dataset"], outputs["store"])
    write(outputs["dataset"] / "mine.txt", "made by hand")
    held = next(
        path for path in Path(".dvc/cache").rglob("*") if path.is_file() and path.stat().st_size > 100
    )
    held.chmod(0o644)
    held.write_bytes(bytes(len(held.read_bytes())))  # a damaged copy of the same length
    before = everything()
    told = ran("clean")
    assert everything() == before and told.count("left: ") == 5 and "removed 0 files" in told


def test_clean_without_dvc_removes_no_output(project):
    outputs = unnamed()
    assert "removed 0 files" in ran("clean") and all(path.exists() for path in outputs.values())


def test_clean_touches_nothing_behind_a_link(project, dvc):
    """Another project may share it."""
    shared = project / "shared"
    (shared / "scratch").mkdir(parents=True)
    shutil.move(make(DATA / "features" / "gone" / "world" / "native.zarr.zip").parents[1], shared / "gone")
    shutil.rmtree(DATA / "scratch")
    (DATA / "features" / "gone").symlink_to(shared / "gone")
    (DATA / "scratch").symlink_to(shared / "scratch")
    folder = shard("oti", {"code": "older"})
    dvc(shared / "gone")
    told = ran("clean")
    assert folder.is_dir() and (shared / "gone" / "world" / "native.zarr.zip").is_file()
    assert told.count("behind a link") == 2


def test_what_is_nobodys_output_is_never_waste(project, dvc):
    safe = [
        *(path for path in (DATA / "backbones" / "nano").iterdir()),
        *(path for path in (DATA / "reference").iterdir()),
        write(DATA / "raw" / "photos" / "one.jpg"),
        make(DATA / "imports" / "mine" / "native.zarr.zip"),
        make(DATA / "imports" / "other" / "native.zarr.zip"),
        write(DATA / "backbones" / "downloaded" / "open_clip_config.json"),  # without a mark
        write(DATA / "backbones" / "copied" / "made_by.json", '{"section": "finetune", "row": "tuned"}'),
        write(DATA / "backbones" / "odd" / "made_by.json", "[]"),
        write(DATA / "backbones" / "loaded" / "made_by.json", '{"section": "finetune", "row": "loaded"}'),
        write(DATA / "scratch" / "finetune" / "notes.txt"),
        write(DATA / "set-aside" / "metrics" / "x"),
    ]
    rows = yaml.safe_load(Path("params.yaml").read_text())["backbones"]
    edit(backbones=rows | {"own": {"weights": {"model": "local-dir:data/backbones/loaded"}}})
    dvc(*safe)
    assert wasted() == {}
    assert resolve.leftovers(load(), DATA) == []
    ran("clean")
    assert all(path.exists() for path in safe)


@pytest.mark.parametrize("command", ["status", "clean"])
def test_params_that_are_wrong_end_it_before_anything(project, command):
    outputs = unnamed()
    folder = shard("oti", {"code": "older"})
    edit(run={**RUN, "backbones": ["nothing"]})
    before = everything()
    done = CliRunner().invoke(app, [command])
    assert done.exit_code and "nothing" in str(done.exception) + done.output
    assert everything() == before and folder.is_dir() and all(path.exists() for path in outputs.values())


def test_status_says_all(project, dvc):
    make(FOLDER / "native.zarr.zip", backbone_provenance=MODEL)
    shard("oti", {"code": "older"})
    write(DATA / "set-aside" / "metrics" / "x", "12345")
    told = ran("status")
    assert "features/nano/world/native.zarr.zip" in told and "out of date" in told  # DVC never made it
    assert "1 stores" in told and "nothing names 1 files and folders" in told
    assert "data/set-aside: 5 bytes" in told


def resolving(project: Path, *words: str, code: int = 0) -> str:
    """The first stage; what it printed, or what it ended with."""
    environment = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{ROOT}"}
    words = words or ("-m", "stages.resolve")
    done = subprocess.run(
        [sys.executable, *words], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_params_that_change_while_they_are_resolved_are_not_taken_for_what_was_resolved(project):
    """DVC would note the new ones, and not run the stage again."""
    make(DATA / "imports" / "mine" / "native.zarr.zip")
    meanwhile = (
        "from crossgap.planning import resolve\n"
        "write = resolve.write\n"
        "def slowly(*given):\n"
        "    with open('params.yaml', 'a') as file:\n"
        "        file.write('# edited\\n')\n"
        "    write(*given)\n"
        "resolve.write = slowly\n"
        "import stages.resolve\n"
    )
    said = resolving(project, "-c", meanwhile, code=1)
    assert said == "resolve: params.yaml changed while it was read: run `dvc repro` again\n"
    resolving(project)


def test_status_asks_once_what_each_cell_depends_on(project, dvc, monkeypatch):
    """Files of weights and of features are hashed for it."""
    asked, settings = [], resolve._settings
    monkeypatch.setattr(
        resolve, "_settings", lambda cell, *of: asked.append(cell.name) or settings(cell, *of)
    )
    ran("status")
    assert asked and sorted(asked) == sorted(set(asked))


def test_the_first_stage_leaves_what_cells_read_as_a_clone_has_it_and_loses_nothing(project, dvc):
    make(DATA / "imports" / "mine" / "native.zarr.zip")
    make(FOLDER / "native.zarr.zip", code="z")
    make(FOLDER / "oti.zarr.zip", code="o")
    outputs = unnamed()
    by_hand = [write(FOLDER / "notes.txt", "mine"), write(DATA / "metrics" / "table.csv", "1,2")]
    link = FOLDER / "linked.zarr.zip"
    link.symlink_to(Path("../../../reference/published.csv"))
    kept = [write(FOLDER / ".gitignore", "/native.zarr.zip"), write(FOLDER / "x.zarr.zip.host.1.0a.tmp")]
    kept += [write(DATA / "metrics" / "nano" / "world" / "metrics.json", "{}")]
    dvc(outputs["store"], outputs["trained"])
    content = outputs["metrics"] / "metrics.json"
    content.write_text('{"a": 1}')
    told = resolving(project)
    assert {path.name for path in FOLDER.iterdir()} == {
        "native.zarr.zip", "oti.zarr.zip", ".gitignore", "x.zarr.zip.host.1.0a.tmp",
    }  # fmt: skip
    assert [path for path in (DATA / "metrics").rglob("*") if path.is_file()] == kept[-1:]
    assert not outputs["store"].exists() and not outputs["trained"].exists()
    aside = DATA / "set-aside"
    assert (aside / "metrics" / "gone" / "world" / "metrics.json").read_text() == '{"a": 1}'
    assert (aside / "features" / "nano" / "world" / "notes.txt").read_text() == "mine"
    assert (aside / "metrics" / "table.csv").read_text() == "1,2" and not by_hand[1].exists()
    moved = aside / "features" / "nano" / "world" / "linked.zarr.zip"
    assert moved.is_symlink() and moved.read_text() == (DATA / "reference" / "published.csv").read_text()
    assert not (aside / "features" / "nano" / "world" / "oti-4.zarr.zip").exists(), "DVC's cache holds it"
    assert "moved to data/set-aside/metrics/table.csv" in told and "oti-4.zarr.zip, which no cell" in told
    assert outputs["features"].is_dir() and outputs["dataset"].is_dir(), "nothing reads these"
    assert "set-aside" not in resolving(project)


def test_what_is_set_aside_twice_is_there_twice(project):
    for content in ("one", "two"):
        discard(write(DATA / "metrics" / "table.csv", content), DATA, Cache())
    found = {path.name: path.read_text() for path in (DATA / "set-aside" / "metrics").iterdir()}
    assert found == {"table.csv": "one", "table.csv.2": "two"}


def test_a_link_is_set_aside_as_one_to_the_same_place_though_nothing_is_there(project):
    for _ in range(2):
        link = DATA / "metrics" / "table.csv"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("..") / "gone.csv")
        discard(link, DATA, Cache())
    found = {path.name: path.readlink() for path in (DATA / "set-aside" / "metrics").iterdir()}
    assert found == dict.fromkeys(["table.csv", "table.csv.2"], (DATA / "gone.csv").resolve())


def test_no_cache_holds_an_empty_folder(tmp_path):
    assert not Cache(tmp_path).holds(tmp_path)


def test_a_link_into_dvcs_cache_goes_and_what_it_links_to_stays(project, dvc):
    """As with `cache.type symlink`."""
    path = write(DATA / "metrics" / "gone" / "world" / "metrics.json", "{}")
    dvc(path)
    held = next(
        one for one in Path(".dvc/cache").resolve().rglob("*") if one.is_file() and one.read_text() == "{}"
    )
    path.unlink()
    path.symlink_to(held)
    assert discard(path.parent, DATA, Cache()) is None
    assert held.read_text() == "{}" and not path.parent.exists()
