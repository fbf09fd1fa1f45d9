"""What passes on the machine (no handle, no right, no disk) is never taken for what a file holds."""

from __future__ import annotations

import errno
import importlib
import os
import pickle
import pkgutil
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import save_file

import crossgap
from crossgap import errors, prefetching
from crossgap.backbones import checkpoints, towers
from crossgap.backbones.backbone import resolve_device
from crossgap.cli.errors import explained
from crossgap.datasets import images
from crossgap.datasets.image_files import read_bytes
from crossgap.datasets.text_files import read_text
from crossgap.datasets.vocabulary import imagenet_names
from crossgap.errors import is_told, of_machine, said
from crossgap.evaluation.parts import Parts
from crossgap.evaluation.unavailable import Reasons
from crossgap.importing import Assignment
from crossgap.metrics.retrieval.torch_counting import cuda_device
from crossgap.prefetching import prefetched
from crossgap.prepared import problems
from crossgap.stores import shards, store
from crossgap.stores.temporary import DiskFullError, room_for
from stages.common import guarded

KEYS = ["a", "b", "c", "d"]


@contextmanager
def no_handle():
    """Nothing can be opened: the lowest number that is free lies beyond the limit."""
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def computed(folder: Path) -> shards.Shards:
    def work(cuts, advance):
        for cut in cuts:
            yield {"value": np.array(cut, np.float32)}

    return shards.compute(KEYS, work, folder, {}, size=2)


def test_shards_stay_when_handles_run_out(tmp_path, monkeypatch) -> None:
    done = computed(tmp_path)
    whole = shards.keys_of_whole

    def out_of_handles(path):
        with no_handle():
            return whole(path)

    with monkeypatch.context() as patched:
        patched.setattr(shards, "keys_of_whole", out_of_handles)
        with pytest.raises(OSError) as caught:
            computed(tmp_path)
    assert caught.value.errno == errno.EMFILE and str(done.folder) in caught.value.filename
    with pytest.raises(OSError) as caught, no_handle():
        done.gather(KEYS)
    assert caught.value.errno == errno.EMFILE
    assert shards.Shards.of(tmp_path, {}).missing(KEYS) == []


@pytest.mark.parametrize("read", [lambda path: read_text(path, "captions"), lambda _: imagenet_names()])
def test_a_text_is_not_called_unreadable_when_handles_run_out(tmp_path, read) -> None:
    path = tmp_path / "captions.csv"
    path.write_text("image,caption\n")
    assert read(path)
    with pytest.raises(OSError) as caught, no_handle():
        read(path)
    assert caught.value.errno == errno.EMFILE


def test_a_shard_removed_by_another_process_is_gone_and_no_error(tmp_path) -> None:
    path = tmp_path / "x.safetensors"
    assert shards.keys_of_whole(path) is None


def test_a_part_of_an_evaluation_stays_when_handles_run_out(tmp_path) -> None:
    def part(compute):
        return Parts(tmp_path).of("family", "name", dict, compute, Reasons())

    kept = part(lambda _: {"value": 1.0})
    with warnings.catch_warnings(), no_handle(), pytest.raises(OSError) as caught:
        warnings.simplefilter("error")
        part(lambda _: pytest.fail("computed again"))
    assert caught.value.errno == errno.EMFILE
    assert part(lambda _: pytest.fail("computed again")) == kept


def _store(folder: Path):
    path = folder / "s.zip"
    with store.creating(path, folder, {}) as writer:
        writer.add("image/test", {"id": np.array(KEYS, object)}, [{"features": np.eye(4, dtype=np.float32)}])
    return lambda: store.open_store(path)


def _image(folder: Path):
    Image.new("RGB", (8, 8)).save(folder / "x.png")
    return lambda: images.decode("x.png", read_bytes(folder, "x.png"))


def _checkpoint(folder: Path):
    path = folder / "x.safetensors"
    save_file({"weight": np.zeros((2, 2), np.float32)}, path)
    checkpoints.read(path)
    return lambda: checkpoints.read(path)


def _imported(folder: Path):
    path = folder / "x.safetensors"
    save_file({"weight": np.zeros((2, 2), np.float32)}, path)
    assignment = Assignment.parse(f"image/test={path}:weight")
    assignment.load()
    return assignment.load


def _config(folder: Path):
    return lambda: towers.configuration("ViT-B-32")


def _problems(folder: Path):
    problems.write(pd.DataFrame(columns=problems.COLUMNS), folder)
    return lambda: problems.read(folder)


@pytest.mark.parametrize("reader", [_store, _image, _checkpoint, _imported, _config, _problems])
def test_no_reader_takes_a_want_of_handles_for_a_fault_of_the_file(tmp_path, reader) -> None:
    read = reader(tmp_path)
    with pytest.raises(OSError) as caught, no_handle():
        read()
    assert caught.value.errno == errno.EMFILE
    read()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EMFILE, "raise its limit"), (errno.EACCES, "give this user the right"), (errno.EIO, "disk"),
        (errno.EROFS, "make it writable"), (errno.ENOMEM, "memory ran out"), (errno.ESTALE, "mount it again"),
    ],
)  # fmt: skip
def test_an_error_of_the_machine_is_one_sentence_with_path_and_remedy(number, remedy) -> None:
    error = OSError(number, os.strerror(number), "data/x")
    assert errors.of_machine(error)
    said = errors.said(error)
    assert said.startswith("data/x: ") and remedy in said and "Errno" not in said and "\n" not in said


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room, or raise the quota,"),
        (errno.EFBIG, r"raise the limit of a file's size \(`ulimit -f`\)"),
    ],
)
def test_no_room_is_said_in_one_sentence(tmp_path, number, remedy) -> None:
    with pytest.raises(DiskFullError) as caught, room_for(tmp_path / "x", 5):
        raise OSError(number, "no room left")
    found = pickle.loads(pickle.dumps(caught.value))
    for error in (caught.value, found):
        assert is_told(error) and of_machine(error)
        assert re.fullmatch(
            rf"no room for .*/x of 5 bytes: no room left, .* kept: {remedy} and run it again", said(error)
        )


def test_other_errors_say_what_they_said() -> None:
    assert errors.said(ValueError("x: too small")) == "x: too small"
    assert errors.said(OSError("image file is truncated")) == "image file is truncated"
    assert (
        errors.said(FileNotFoundError(2, "No such file or directory", "x")) == "x: no such file or directory"
    )
    assert not errors.of_machine(OSError("image file is truncated"))
    assert not errors.of_machine(FileNotFoundError(2, "No such file or directory", "x"))


def test_a_disk_that_can_only_be_read_is_said_with_its_path(disk) -> None:
    disk.remount("ro")
    words = f"{disk.path}/data: read-only file system: make it writable"
    with pytest.raises(SystemExit, match=f"^resolve: {words}"):
        guarded("resolve", (disk.path / "data").mkdir)
    with pytest.raises(SystemExit, match=f"^crossgap: {words}"), explained():
        (disk.path / "data").mkdir()


def test_what_stands_in_a_folders_place_is_said_by_stages_and_commands(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "purged").symlink_to("/nowhere/at/all")
    for path in (tmp_path / "file/encode", tmp_path / "purged"):

        def work(path: Path = path) -> None:
            path.mkdir(parents=True, exist_ok=True)

        words = f"{path}: (not a directory|file exists): a folder is wanted there"
        with pytest.raises(SystemExit, match=f"^encode: {words}"):
            guarded("encode", work)
        with pytest.raises(SystemExit, match=f"^crossgap: {words}"):
            explained_(work)


def test_a_full_disk_is_the_machines_where_a_library_in_rust_says_it(disk) -> None:
    with pytest.raises(SafetensorError) as caught:
        save_file({"a": np.zeros(100_000, np.float32)}, disk.path / "a.safetensors")
    assert is_told(caught.value) and of_machine(caught.value) and said(caught.value).endswith("run it again")


OTHERS = {"crossgap.stores.temporary.DiskFullError"}  # of the machine


def _modules() -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(crossgap.__path__, "crossgap.")]
    return [name for name in names if not name.endswith("__main__")]


def test_every_error_of_ours_is_a_users_to_mend_and_is_called_an_error() -> None:
    found = {}
    for name in _modules():
        for held in vars(importlib.import_module(name)).values():
            if isinstance(held, type) and issubclass(held, BaseException) and held.__module__ == name:
                found[f"{name}.{held.__name__}"] = held
    strangers = {name for name, kind in found.items() if not issubclass(kind, errors.CrossgapError)}
    assert strangers == OTHERS and issubclass(found[next(iter(OTHERS))], OSError)
    assert len(found) > 10 and all(name.endswith("Error") for name in found)


MISTAKES = [
    ValueError("operands could not be broadcast together with shapes (2,) (3,)"), KeyError("colour"),
    TypeError("a mistake"), FileNotFoundError(2, "No such file or directory", "x"), OSError("no number"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda error: type(error).__name__)
def test_a_mistake_of_the_codes_keeps_its_traceback_in_stages_and_commands(mistake) -> None:
    def work() -> None:
        raise mistake

    for told in (lambda: guarded("encode", work), lambda: explained_(work)):
        with pytest.raises(type(mistake)) as caught:
            told()
        assert caught.value is mistake and caught.traceback[-1].name == "work"


def explained_(work) -> None:
    with explained():
        work()


@pytest.mark.parametrize(
    "error",
    [
        errors.CrossgapError("shots: 0: give 1"), errors.DatasetError("root: x is no folder: mend it"),
        errors.UnavailableError("1 row: give 2"), images.ImageError("a.jpg", "empty file (0 bytes)"),
        store.StoreError("x holds no store: make it"), MemoryError("Unable to allocate 8 TiB"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_users_error_is_one_sentence(error) -> None:
    def work() -> None:
        raise error

    for name, told in (("encode", lambda: guarded("encode", work)), ("crossgap", lambda: explained_(work))):
        with pytest.raises(SystemExit) as caught:
            told()
        assert caught.value.code.startswith(f"{name}: {error}") and "\n" not in caught.value.code


def test_a_mistake_in_a_command_is_a_traceback(tmp_path, monkeypatch) -> None:
    """As a process: what a shell shows of a user's error and of a mistake."""
    said = _command(tmp_path, "check", "absent.yaml")
    assert said == ["crossgap: absent.yaml not found: run from the project's root"]
    (tmp_path / "sitecustomize.py").write_text(
        "import crossgap.params as params\n"
        "def text_of(path): raise ValueError('a mistake')\n"
        "params.text_of = text_of\n"
    )
    first, *_, last = _command(tmp_path, "check", "absent.yaml")
    assert first.startswith("Traceback") and last == "ValueError: a mistake"


def _command(folder: Path, *words: str) -> list[str]:
    root = str(Path(crossgap.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", "from crossgap.cli import app; app()", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr.strip().splitlines()


@pytest.mark.parametrize("script", ["encode", "evaluate"])
def test_a_stage_that_was_not_resolved_is_one_sentence(tmp_path, script) -> None:
    root = Path(crossgap.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv = ['stages/{script}/__main__.py', 'x']; "
         f"from stages.common import run; run(None)"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"{script}: {script} x is no cell of this run: ")


def test_scratch_that_is_removed_under_a_stage_is_one_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = shards.Shards.of("data/scratch/oti", {"steps": 1})
    shutil.rmtree("data")
    for work in (
        lambda: kept.put(["a"], {"x": np.zeros((1, 2))}),
        lambda: Path("data/scratch/oti/a").absolute().read_bytes(),
    ):
        with pytest.raises(
            SystemExit, match=r"^oti: .*data/scratch/oti/.* was removed while the stage worked"
        ):
            guarded("oti", work)
    with pytest.raises(FileNotFoundError):
        guarded("oti", lambda: Path("data/features").read_bytes())


def test_a_stage_that_is_done_does_not_fail_by_its_seconds(tmp_path) -> None:
    (tmp_path / "data/resolved/encode").mkdir(parents=True)
    (tmp_path / "data/resolved/encode/x.json").write_text("{}")
    (tmp_path / "data/scratch").write_text("in the place of the folder")
    root = Path(crossgap.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['stages/encode/__main__.py', 'x']; "
         "from stages.common import run; run(lambda cell, *words: print('done'))"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert (
        done.stderr.startswith("encode: its seconds are not kept: data/scratch")
        and done.stderr.count("\n") == 1
    )


class _Fails:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, _key: int) -> int:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [images.ImageError("a.jpg", "truncated"), OSError(errno.EMFILE, "Too many open files", "a.jpg")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_a_worker_comes_out_as_itself(error) -> None:
    for workers in (0, 1):
        with pytest.raises(type(error)) as caught:
            next(prefetched(_Fails(error), [[0, 1]], num_workers=workers))
        assert str(caught.value) == str(error) and errors.is_told(caught.value)
    with pytest.raises(KeyError, match=r"Traceback[\s\S]*__getitem__"):
        next(prefetched(_Fails(KeyError("a mistake")), [[0]], num_workers=1))


class _Sleeps:
    def __getitem__(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds


def test_workers_that_give_nothing_are_waited_for_and_not_for_ever(monkeypatch) -> None:
    monkeypatch.setattr(prefetching, "_LOOK", 0.1)
    assert list(prefetched(_Sleeps(), [[0.5], [0]], num_workers=1)) == [0.5, 0]
    monkeypatch.setattr(prefetching, "PATIENCE", 0.3)
    # after which a worker that does not end is killed
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.1)
    with pytest.raises(prefetching.LoadingError, match=r"^machine.workers: no batch .* 0.005 minutes"):
        list(prefetched(_Sleeps(), [[0], [600]], num_workers=2))


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99"])
def test_a_device_that_is_not_here(device) -> None:
    for chosen in (resolve_device, cuda_device):
        with pytest.raises(errors.CrossgapError, match=rf"device .*'{device}'"):
            chosen(device)


@pytest.mark.parametrize(
    ("error", "first"),
    [
        (
            MemoryError("Unable to allocate 8.00 EiB for an array with shape (9, 9)"),
            "Unable to allocate",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried 2.00 GiB. GPU 0 has"),
            "CUDA out of memory",
        ),
        (
            RuntimeError("CUDA error: out of memory\nCUDA kernel errors might"),
            "CUDA error: out of memory: memory",
        ),
        (
            RuntimeError("[enforce fail] err == 0. Allocator: can't allocate memory: 9 bytes"),
            "Allocator: can't",
        ),
        (
            RuntimeError("DataLoader worker (pid 9) is killed by signal: Killed. "),
            "DataLoader worker (pid 9) is killed by signal: Killed: memory",
        ),
        (RuntimeError("DataLoader worker (pid(s) 9) exited unexpectedly"), "DataLoader worker"),
        (MemoryError(), "memory ran out"),
    ],
)
def test_memory_that_ran_out_is_a_sentence_with_the_settings_that_need_less(error, first) -> None:
    def work() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        guarded("encode", work)
    told = str(ended.value)
    assert told.startswith(f"encode: {first}") and "machine.workers, batch_size" in told
    assert "GPU 0" not in told and "might" not in told and errors.of_machine(error)


def test_memory_that_torch_does_not_get_is_known_by_its_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert errors.out_of_memory(caught.value)
    assert not errors.out_of_memory(
        RuntimeError("The size of tensor a (2) must match the size of tensor b (3)")
    )


def test_a_name_that_is_close_is_proposed_and_no_other() -> None:
    assert errors.like("tabel1", ["table1", "table2"]) == "; did you mean 'table1'?"
    assert errors.like("nothing", ["centering", "basic"]) == errors.like(None, ["basic"]) == ""


STOPPED = {  # what a process does once it has said that it runs; the name that it goes by
    "encode": "from stages.common import guarded\nguarded('encode', work)",
    "crossgap": "sys.argv[1:] = ['work']\n"
    "from crossgap import cli, command\ncli.app.command('work')(work)\ncommand.main()",
}


@pytest.mark.parametrize("name", STOPPED)
def test_ctrl_c_is_told_in_a_line_and_leaves_nothing_half_written(name, tmp_path) -> None:
    (tmp_path / "work.py").write_text(f"""
import sys, time
from pathlib import Path
from crossgap.stores import temporary

def work():
    with temporary.named(Path("half")) as half:
        half.touch()
        print("runs", flush=True)
        time.sleep(60)

{STOPPED[name]}
""")
    process = subprocess.Popen(
        [sys.executable, "work.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None and process.stdout.readline() == "runs\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    words = errors.STOPPED if name == "encode" else "stopped"  # a command goes on from nothing
    assert (process.returncode, said) == (130, f"{name}: {words}\n")
    assert list(tmp_path.iterdir()) == [tmp_path / "work.py"]


def test_a_stage_in_the_background_goes_on_at_ctrl_c() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        guarded("encode", lambda: signal.raise_signal(signal.SIGINT))
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
