"""`crossgap verify` on the real DVC: whatever is damaged is named, and `dvc repro` makes exactly that again."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import dvc.repo  # noqa: F401 - before a command does: it keeps the stderr of when it is first imported
import numpy as np
import pytest
from typer.testing import CliRunner
from zarr.codecs import ZstdCodec

from crossgap.cli import app
from crossgap.datasets import stamps
from crossgap.datasets.checks import Checks
from crossgap.evaluation.parts import Parts
from crossgap.evaluation.unavailable import Reasons
from crossgap.planning import verifying
from crossgap.planning.discarding import Cache
from crossgap.stores import shards, store, writing

DATA = Path("data")
NATIVE = DATA / "features/nano/world/native.zarr.zip"
MANIFEST = DATA / "datasets/world/manifest.parquet"
METRICS = DATA / "metrics/nano/world/metrics.json"
IMPORT = DATA / "imports/mine/native.zarr.zip"
# what each stage does, and a line into `ran` that says that it did
MAKE = """
import sys
from pathlib import Path
import numpy as np
from crossgap.stores import store

what = sys.argv[1]
with open("ran", "a") as ran:
    ran.write(what + "\\n")
if what == "prepare":
    folder = Path("data/datasets/world")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.parquet").write_bytes(bytes(range(256)) * 8)
    (folder / "problems.csv").write_text("id,item,problem\\n")
elif what == "encode":
    source = Path("data/datasets/world/manifest.parquet").read_bytes()
    with store.creating("data/features/nano/world/native.zarr.zip", "data/scratch/x", {"backbone": "nano"}) as writer:
        ids = np.array([f"i{row}" for row in range(40)], object)
        features = np.frombuffer(source[:1280], np.uint8).reshape(40, 32).astype(np.float32)
        writer.add("image/test", {"id": ids, "group": ids}, [{"features": features}])
else:
    features = store.open_store("data/features/nano/world/native.zarr.zip")["image/test"].features
    folder = Path("data/metrics/nano/world")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(str(features.sum()))
"""
STAGE = """
stages:
  {stage}:
    wdir: ../..
    matrix: {{item: [{item}]}}
    cmd: python make.py {stage}
    deps: [{deps}]
    outs: [{outs}]
"""
STAGES = {
    "prepare": ("world", "make.py", MANIFEST.parent),
    "encode": ("nano-world", MANIFEST.parent, NATIVE),
    "evaluate": ("nano-world", NATIVE, METRICS),
}
CELLS = {name: f"stages/{name}/dvc.yaml:{name}@{item}" for name, (item, *_) in STAGES.items()}


def run_dvc(*words: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A project of three stages, run once, with an import."""
    folder = tmp_path_factory.mktemp("made") / "project"
    folder.mkdir()
    before = Path.cwd()
    os.chdir(folder)
    try:
        run_dvc("init", "--no-scm", "-q")
        run_dvc("config", "cache.type", "copy")
        Path("make.py").write_text(MAKE)
        Path("dvc.yaml").write_text("stages: {}\n")
        Path(".dvcignore").write_text("__pycache__\n")
        for name, (item, deps, outs) in STAGES.items():
            file = Path(f"stages/{name}/dvc.yaml")
            file.parent.mkdir(parents=True)
            file.write_text(STAGE.format(stage=name, item=item, deps=deps, outs=outs))
        IMPORT.parent.mkdir(parents=True)
        with store.creating(IMPORT, DATA / "scratch/x", {"backbone": "theirs"}) as writer:
            ids = np.array(["a", "b"], object)
            writer.add("image/test", {"id": ids, "group": ids}, [{"features": np.eye(2, dtype=np.float32)}])
        run_dvc("add", "-q", str(IMPORT.parent))
        run_dvc("repro", "-q", *CELLS.values())
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(made, folder, symlinks=True)
    monkeypatch.chdir(folder)
    Path("ran").write_text("")
    return folder


def verified(*words: str, code: int) -> str:
    done = CliRunner().invoke(app, ["verify", *words])
    assert done.exit_code == code, done.output
    return done.output


def named() -> dict[str, str]:
    return {one.path.as_posix(): one.kind for one in verifying.verify(Path(), DATA, Cache())}


def whole() -> dict[Path, bytes]:
    """All that was made, and DVC's copies."""
    paths = [*DATA.rglob("*"), *Path(".dvc/cache/files").rglob("*")]
    return {path: path.read_bytes() for path in paths if path.is_file() and "set-aside" not in path.parts}


def flip(path: Path, at: int, bit: int = 3) -> None:
    """A bit of a file, whose time and size stay: DVC then takes it for unchanged."""
    stamp, mode = path.stat(), path.stat().st_mode
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << bit)]))
    path.chmod(mode)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def test_what_is_whole_is_said_to_be(project) -> None:
    assert "all that is here is what was made" in verified(code=0)
    assert "all that is here is what was made" in verified("--repair", code=0)


def test_a_bit_flipped_anywhere_in_an_output_is_named(project) -> None:
    rng = random.Random(0)
    for path in (NATIVE, MANIFEST, METRICS, IMPORT):
        for _ in range(12):
            at, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
            flip(path, at, bit)
            assert list(named()) == [path.as_posix()], (path, at, bit)
            flip(path, at, bit)
    assert named() == {}


@pytest.mark.parametrize(
    ("how", "stage", "path"),
    [
        ("flip", "prepare", MANIFEST),
        ("cut", "encode", NATIVE),
        ("flip", "encode", NATIVE),
        ("cut", "evaluate", METRICS),
    ],
    ids=str,
)
def test_repair_and_repro_make_exactly_what_was_damaged_again(project, how, stage, path) -> None:
    """With the copy in DVC's cache gone bad too, by the hard link that it often is: the stage runs, and it alone."""
    before = whole()
    copies = [held for held, content in before.items() if ".dvc" in held.parts and content == before[path]]
    for held in (path, *copies):
        if how == "flip":
            flip(held, held.stat().st_size // 2)
        else:
            held.chmod(0o644)
            held.write_bytes(held.read_bytes()[:-9])
    said = verified(code=1)
    assert path.as_posix() in said and all(held.as_posix() in said for held in copies) and len(copies) == 1
    said = verified("--repair", code=0)
    command = re.search(r"To have them again: (dvc repro .+)", said)[1]
    assert command == f"dvc repro {CELLS[stage]}"
    assert ("what made it can't be read" in said) >= (how == "cut" and path == NATIVE)
    run_dvc(*command.split()[1:])
    assert Path("ran").read_text().split() == [stage]
    assert whole() == before and named() == {}


@pytest.mark.parametrize(
    "why", ["an older crossgap laid out image/test/features", "it was made elsewhere: a Z80"]
)
def test_a_store_that_would_come_back_as_other_bytes_is_set_aside_and_pulled(
    project, why, monkeypatch
) -> None:
    """A large one of before arrays of over 8,192 rows lay uncompressed; one of another processor."""
    with monkeypatch.context() as older:
        older.setattr(writing, "_many", lambda array: False)
        if "older" in why:
            older.setattr(writing, "Crc32cCodec", lambda: ZstdCodec(level=0, checksum=True))
        NATIVE.unlink()
        with store.creating(
            NATIVE, DATA / "scratch/x", {"made_on": "a Z80"} if "Z80" in why else {}
        ) as writer:
            ids = np.arange(9000).astype(str).astype(object)
            rows = np.random.default_rng(0).random((9000, 4), np.float32)
            writer.add("image/test", {"id": ids}, [{"features": rows}])
    run_dvc("commit", "-q", "-f", CELLS["encode"])
    remote = project.parent / "remote"
    run_dvc("remote", "add", "-d", "team", str(remote))
    run_dvc("push", "-q", CELLS["encode"])
    before = NATIVE.read_bytes()
    flip(NATIVE, NATIVE.stat().st_size // 2)
    assert "would make other bytes" not in verified(code=1)  # DVC's copy is whole
    for copy in Path(".dvc/cache/files").rglob("*"):
        if copy.is_file() and copy.read_bytes() == before:
            flip(copy, 1000)
    assert f"`dvc repro` would make other bytes than its lock names: {why}" in verified(code=1)
    said = verified("--repair", code=0)
    assert (DATA / "set-aside/features/nano/world/native.zarr.zip").is_file()
    command = re.search(r"To have them again: (dvc pull .+)", said)[1]
    run_dvc(*command.split()[1:])
    assert NATIVE.read_bytes() == before and named() == {} and Path("ran").read_text() == ""


def test_dvcs_whole_copy_is_taken_before_anything_is_computed(project) -> None:
    before = whole()
    flip(NATIVE, NATIVE.stat().st_size // 2)
    command = re.search(r"To have them again: (.+)", verified("--repair", code=0))[1]
    run_dvc(*command.split()[1:])
    assert Path("ran").read_text() == "" and whole() == before


def test_a_damaged_copy_alone_leaves_the_output(project) -> None:
    copy = Cache().path_of(re.search(r"path: data/features.*?md5: (\w+)", Path("stages/encode/dvc.lock").read_text(),
                                     re.DOTALL)[1])  # fmt: skip
    flip(copy, 100)
    assert named() == {copy.as_posix(): verifying.COPY}
    before = NATIVE.read_bytes()
    assert copy.name[:6] in verified("--repair", code=0)
    assert NATIVE.read_bytes() == before and not copy.exists()
    run_dvc("commit", "-q", "-f")
    assert named() == {} and copy.read_bytes() == before


def test_an_import_is_brought_back_by_dvc_and_never_thrown_away(project) -> None:
    before = whole()
    flip(IMPORT, 60)
    said = verified("--repair", code=0)
    assert (DATA / "set-aside/imports/mine/native.zarr.zip").is_file()
    assert "To have them again: dvc checkout data/imports/mine.dvc" in said
    run_dvc("checkout", "-q", "data/imports/mine.dvc")
    assert whole() == before


def test_what_is_newer_than_the_lock_is_moved_and_not_lost(project) -> None:
    """As after `dvc repro --no-commit`, or a commit's locks over another's files: whole, and not what is locked."""
    NATIVE.unlink()
    with store.creating(NATIVE, DATA / "scratch/x", {"backbone": "mine"}) as writer:
        writer.add("image/test", {"id": np.array(["a"], object)}, [{"features": np.ones((1, 3), np.float32)}])
    mine = NATIVE.read_bytes()
    assert named() == {NATIVE.as_posix(): verifying.CHANGED}
    assert "moved" in verified("--repair", code=0)
    assert (DATA / "set-aside/features/nano/world/native.zarr.zip").read_bytes() == mine


def test_a_store_of_a_newer_format_is_named_and_left(project, monkeypatch) -> None:
    other = DATA / "features/nano/other/native.zarr.zip"
    other.parent.mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setattr(writing, "FORMAT", "crossgap-features/9")
        with store.creating(other, DATA / "scratch/x", {}):
            pass
    assert named() == {other.as_posix(): verifying.NEWER}
    said = verified("--repair", code=1)
    assert (
        "of the format crossgap-features/9; this crossgap knows crossgap-features/1" in said
        and other.is_file()
    )
    assert "install the crossgap that made it" in said


def test_a_folder_holds_what_is_listed_and_nothing_else(project) -> None:
    stray = MANIFEST.parent / "more.csv"
    stray.write_text("mine")
    assert named() == {stray.as_posix(): verifying.STRAY}
    said = verified("--repair", code=0)
    assert "set-aside/datasets/world/more.csv" in said and "To have them again" not in said
    assert named() == {} and (DATA / "set-aside/datasets/world/more.csv").read_text() == "mine"
    shutil.rmtree(MANIFEST.parent)
    MANIFEST.parent.write_text("mine")
    assert named() == {MANIFEST.parent.as_posix(): verifying.CHANGED}
    verified("--repair", code=0)
    run_dvc("repro", "-q", "-R", "stages")
    assert named() == {} and MANIFEST.is_file()


def test_what_git_holds_is_left_to_git(tmp_path) -> None:
    """The stage of the embedded model is frozen: `dvc repro` would not make one of its files again."""
    data = tmp_path / "data"
    weights = data / "backbones/nano/open_clip_model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_text("changed")
    one = verifying.Finding(
        weights, verifying.CHANGED, "not what the lock says", "stages/pretrain/dvc.yaml:pretrain"
    )
    done, left = verifying.repair([one], data, Cache(tmp_path))
    assert not done and f"git checkout -- {weights}" in left[0] and weights.is_file()


@pytest.mark.parametrize(
    "held", [b"<<<<<<< HEAD\nschema: x\n=======\n", b"stages: [1, 2]\n", b"- 1\n", b"stages: \xff\n"]
)
@pytest.mark.parametrize("path", ["stages/encode/dvc.lock", "data/imports/mine.dvc"])
def test_a_lock_that_cannot_be_read_is_one_sentence(project, path, held) -> None:
    """Two branches' locks that were merged, above all."""
    Path(path).write_bytes(held.replace(b"stages", b"outs") if path.endswith(".dvc") else held)
    said = verified(code=1)
    assert f"{path} can't be read" in said and f"git checkout -- {path}" in said


def test_work_in_scratch_is_named_and_removed(project) -> None:
    held = shards.Shards.of(DATA / "scratch/oti", {"code": "x"})
    held.put(["a"], {"features": np.ones((1, 200), np.float32)})
    held.put(["b"], {"features": np.ones((1, 200), np.float32)})
    Parts(DATA / "scratch/evaluate/nano/world").of("gap", "a", dict, lambda _: {"x": 1.0}, Reasons())
    checks = DATA / "scratch/prepare/world.checks"
    Checks(project, checks).all([])
    stamps.write(note := DATA / "scratch/prepare/world-1.stamps", {"a": (1, 2)})
    assert named() == {}
    bad = [
        checks,
        note,
        sorted(held.folder.glob("*.safetensors"))[0],
        next((DATA / "scratch/evaluate/nano/world").glob("*.part")),
    ]
    for path in bad:
        flip(path, path.stat().st_size - 5)
    assert set(named()) == {path.as_posix() for path in bad}
    assert "To have them again" not in verified("--repair", code=0)
    assert not any(path.exists() for path in bad) and len(list(held.folder.glob("*.safetensors"))) == 1


def test_nothing_behind_a_link_is_touched(project) -> None:
    shared = project.parent / "shared"
    shutil.move(NATIVE.parents[1], shared)
    NATIVE.parents[1].symlink_to(shared)
    flip(shared / "world/native.zarr.zip", 99)
    before = (shared / "world/native.zarr.zip").read_bytes()
    assert "behind a link" in verified("--repair", code=1)
    assert (shared / "world/native.zarr.zip").read_bytes() == before


def test_a_data_folder_that_is_a_link_itself_is_the_projects_own(project) -> None:
    shutil.move(DATA, project.parent / "elsewhere")
    DATA.symlink_to(project.parent / "elsewhere")
    assert named() == {}
    flip(NATIVE, 99)
    verified("--repair", code=0)
    assert not NATIVE.exists()


def test_elsewhere_than_in_a_project_it_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no dvc.yaml here" in verified(code=1)
