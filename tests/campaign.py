"""Kill every stage at random moments, again and again, and look for a wrong byte: `python tests/campaign.py`.

A small project is run once, undisturbed. Then, stage by stage in turn, the stage starts and is killed (SIGKILL, the
process alone or its whole group) after a random part of the time it takes, one to four times, going on each time from
what the last left behind; what it made may be there as after a run by hand, or removed as DVC does. Then it runs to its
end. After each kill, every store is whole or absent and every shard and part in scratch is what its digest says; at
the end, all outputs have the bytes of the undisturbed run, and nothing in progress is left.

Stages are forked from a process that has loaded the libraries, since loading takes longer than their work here.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
NONE = {"backbones": [], "datasets": []}
CELL = {"backbones": ["nano"], "datasets": ["world"]}
SETTINGS = {
    "run": {
        **{"backbones": ["nano"], "datasets": ["world", "photos"], "oti": CELL, "ovi": CELL, "imports": []},
        "sweep": {**CELL, "tokens": [2]},
        "seeds": {**CELL, "methods": ["oti"], "seeds": [1]},
        "distil": {**CELL, "sources": ["world"], "methods": ["oti"], "losses": ["cosine"]},
    },
    "imports": {},
    "pretrain": {},
    "finetune": {
        "tuned": {"backbone": "nano", "dataset": "world", "losses": {"clip": 1}, "epochs": 6, "batch_size": 8}
    },
    "idealised": {
        "world": {
            "dataset": "world",
            "images": 8,
            "architecture": "local-dir:data/backbones/nano",
            "run": {"width": 8, "batch_size": 8, "temperature": 0.07, "lr": 0.0005, "epochs": 3},
            "toy": {"images": 4, "batch_sizes": [4], "epochs": 2},
        }
    },
    "distil": {"oti": {"epochs": 12, "batch_size": 4}},
    "machine": {
        **{"device": "cpu", "batch_size": 8, "workers": 0, "shard_size": 8, "inversion_batch_size": 4},
        "checkpoint_seconds": 0,
    },
}
# a stage and the words of its cell → what it makes, from `data`
STAGES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("resolve",): ("resolved",),
    ("prepare", "world"): ("datasets/world",),
    ("prepare", "photos"): ("datasets/photos",),
    ("weights",): ("weights",),
    ("encode", "nano", "world"): ("features/nano/world/native.zarr.zip",),
    ("encode", "nano", "photos"): ("features/nano/photos/native.zarr.zip",),
    ("oti", "nano", "world"): ("features/nano/world/oti.zarr.zip",),
    ("ovi", "nano", "world"): ("features/nano/world/ovi.zarr.zip",),
    ("sweep", "nano", "world", "2"): ("features/nano/world/oti-2.zarr.zip",),
    ("seeds", "nano", "world", "oti", "1"): ("features/nano/world/oti-seed-1.zarr.zip",),
    ("distil", "nano", "world", "oti", "cosine"): ("distilled/nano/world/oti-cosine.safetensors",),
    ("distilled", "nano", "world", "world", "oti", "cosine"): (
        "features/nano/world/oti-cosine-world.zarr.zip",
    ),
    ("evaluate", "nano", "world"): ("metrics/nano/world",),
    ("evaluate", "nano", "photos"): ("metrics/nano/photos",),
    ("finetune", "tuned"): ("backbones/tuned", "metrics/training/tuned"),
    ("idealised", "world"): ("metrics/idealised/world",),
    ("report",): ("report/index.html",),
}
INVERSIONS = ("oti", "ovi", "sweep", "seeds", "distilled")
MODULES = "modules"  # the file of what a stage imported
KEPT = ("resolved",)  # which DVC doesn't remove before its stage
Bytes = dict[str, bytes]


@dataclass
class Tally:
    """Of a campaign: kills by stage, how many met the stage at work, runs to the end, and what was wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    at_work: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [f"{'stage':12} {'kills':>6} {'at work':>8} {'ended':>6}"]
        rows += [
            f"{name:12} {self.kills[name]:6} {self.at_work[name]:8} {self.ended[name]:6}"
            for name in self.ended
        ]
        totals = (sum(of.values()) for of in (self.kills, self.at_work, self.ended))
        rows.append("{:12} {:6} {:8} {:6}".format("all", *totals))
        return "\n".join([*rows, f"wrong: {len(self.wrong)}", *self.wrong])


def make(folder: Path) -> None:
    """A project of little to do: a generated set and a folder of photos."""
    for name in ("data/backbones/nano", "data/reference", "stages"):
        shutil.copytree(ROOT / name, folder / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= SETTINGS
    params["datasets"]["world"] |= {"images": {"train": 8, "test": 10}, "vocabulary": "none"}
    params["datasets"]["photos"] = {
        **{"layout": "imagefolder", "root": "photos", "splits": ["test"], "vocabulary": "none"},
        "retrieval": {"query": "test", "gallery": "test"},
    }
    params["oti"] |= {"steps": 8, "snapshots": [2]}
    params["ovi"] |= {"steps": 2, "snapshots": []}
    params["evaluate"] |= {
        "resamples": 99,
        "draws": 1,
        "shots": [1],
        "corrections": ["centering"],
        "logistic": "none",
    }
    params["evaluate"]["mixed_search"] = {"shares": [0.5], "alphas": [0.5], "draws": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(60):
        path = folder / f"photos/test/{'ab'[number % 2]}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8)).save(path)


def started(words: tuple[str, ...], log: Path, before: Callable[[], None] = lambda: None) -> int:
    """The process of a stage, forked from this one, at the head of a group of its own, after `before`."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = [words[0], *words[1:]]
        before()
        runpy.run_module(f"stages.{words[0]}", run_name="__main__", alter_sys=True)
        with contextlib.suppress(OSError):  # where nothing may be written
            ours = ("stages", "__m")
            Path(MODULES).write_text("\n".join(name for name in sys.modules if not name.startswith(ours)))
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def load(names: Path) -> None:
    """Import what a stage had imported, so that those forked later needn't."""
    for name in names.read_text().split("\n"):
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def held(outs: tuple[str, ...]) -> Bytes:
    """Path → the bytes of every file of a stage's outputs, without the records of how fast a training went."""
    files = [
        file
        for out in outs
        for file in ([Path(out)] if Path(out).is_file() else sorted(Path(out).rglob("*")))
    ]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def removed(outs: tuple[str, ...]) -> None:
    for out in outs:
        shutil.rmtree(out, ignore_errors=True) if Path(out).is_dir() else Path(out).unlink(missing_ok=True)


def broken(data: Path, whole: Bytes) -> list[str]:
    """Stores that are neither absent nor those of the undisturbed run, and whatever in scratch is there in part."""
    from crossgap.stores import digested
    from crossgap.stores.shards import keys_of_whole

    stores = [*data.glob("features/**/*.zarr.zip"), *data.glob("distilled/**/*.safetensors")]
    found = [str(path) for path in stores if path.read_bytes() != whole[str(path)]]
    found += [
        str(path)
        for path in (data / "scratch").rglob("*.safetensors")
        if (path.parent / "recipe.json").is_file() and keys_of_whole(path) is None
    ]
    parts = [*(data / "scratch").rglob("*.part"), *(data / "scratch").rglob("*.checks")]
    return found + [str(path) for path in parts if digested.read(path) is None]


def in_progress(data: Path) -> list[str]:
    return sorted(str(path) for path in data.rglob("*.tmp"))


class Project:
    """A project, run once undisturbed, that the present folder is; what goes wrong in it is counted."""

    def __init__(self, folder: Path, stages: list[str], say: Callable[[str], None]) -> None:
        """Make it in an empty folder, and run its stages up to the last of those named; all, if none."""
        make(folder)
        os.chdir(folder)
        self.data, self.log, self.tally, self.say = Path("data"), Path("log"), Tally(), say
        self.asked = [words for words in STAGES if not stages or words[0] in stages]
        self.outs = {words: tuple(str(self.data / out) for out in made) for words, made in STAGES.items()}
        self.took: dict[tuple[str, ...], float] = {}
        self.whole: dict[tuple[str, ...], Bytes] = {}
        self.every: Bytes = {}
        every = list(STAGES)
        for words in every[: every.index(self.asked[-1]) + 1]:
            for _ in range(2):  # the second time with what the first one had to load
                self.cleared(words)
                since = time.monotonic()
                if self.ran(words):
                    raise RuntimeError(f"{' '.join(words)} ended with an error: {self.said()}")
                self.took[words] = time.monotonic() - since
                found = held(self.outs[words])
                if self.whole.setdefault(words, found) != found:
                    raise RuntimeError(f"{' '.join(words)} gave two results, undisturbed")
                load(Path(MODULES))
            self.every |= found
            say(f"{' '.join(words)}: {self.took[words]:.2f} s, {len(found)} files")

    def said(self) -> str:
        return self.log.read_text()[-2000:]

    def cleared(self, words: tuple[str, ...]) -> None:
        """Nothing is left of a stage, and nothing of work in progress."""
        shutil.rmtree(self.data / "scratch", ignore_errors=True)
        if words[0] not in KEPT:
            removed(self.outs[words])

    def ran(self, words: tuple[str, ...], before: Callable[[], None] = lambda: None) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(started(words, self.log, before), 0)[1])

    def wrong(self, words: tuple[str, ...], what: str) -> None:
        self.tally.wrong.append(f"{' '.join(words)}: {what}")
        self.say(f"wrong: {self.tally.wrong[-1]}")

    def check_parts(self, words: tuple[str, ...], after: str) -> None:
        for path in broken(self.data, self.every):
            self.wrong(words, f"{path} is there in part after {after}")

    def ends(self, words: tuple[str, ...], after: str, code: int | None = None) -> None:
        """The stage runs to its end, unless its exit status is given, and all is as after an undisturbed run."""
        code = self.ran(words) if code is None else code
        self.tally.ended[words[0]] += 1
        if code:
            self.wrong(words, f"ended with {code} after {after}: {self.said()}")
        whole, found = self.whole[words], held(self.outs[words])
        differ = [path for path in {**found, **whole} if found.get(path) != whole.get(path)]
        for path in differ:
            self.wrong(words, f"{path} is not that of the undisturbed run after {after}")
        for path in in_progress(self.data):
            self.wrong(words, f"{path} is left after {after}")
        if differ or code:  # later stages start from what is right
            removed(self.outs[words])
            for path, content in whole.items():
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_bytes(content)

    def kill(self, kills: int, seconds: float, seed: int) -> None:
        """Kill stages `kills` times, or for some seconds."""
        rng, until = random.Random(seed), time.monotonic() + seconds
        odds = [self.took[words] ** -0.5 for words in self.asked]  # short ones more often
        while sum(self.tally.kills.values()) < kills and time.monotonic() < until:
            (words,) = rng.choices(self.asked, odds)
            if rng.random() < 0.7:
                shutil.rmtree(self.data / "scratch", ignore_errors=True)
            for _ in range(rng.randint(1, 4)):
                if words[0] not in KEPT and rng.random() < 0.6:
                    removed(self.outs[words])
                process = started(words, self.log)
                time.sleep(rng.uniform(0, self.took[words]))
                with contextlib.suppress(ProcessLookupError):
                    (os.killpg if rng.random() < 0.5 else os.kill)(process, signal.SIGKILL)
                status = os.waitpid(process, 0)[1]
                self.tally.kills[words[0]] += 1
                self.tally.at_work[words[0]] += os.WIFSIGNALED(status)
                if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status):
                    self.wrong(words, f"ended with an error before its kill: {self.said()}")
                self.check_parts(words, "a kill")
            if words[0] not in KEPT and rng.random() < 0.6:
                removed(self.outs[words])
            self.ends(words, "kills")
            self.say(f"{sum(self.tally.kills.values())} kills, {len(self.tally.wrong)} wrong")

    def faults(self) -> None:
        """Every stage with a clock that jumps, twice at once, with no room, with nothing that may be written."""
        for words in self.asked:
            for years in (-30, 30):
                self.cleared(words)
                self.ends(words, f"a clock {years} years off", self.ran(words, lambda by=years: clock(by)))
                self.ends(words, "the clock came back")
            self.cleared(words)
            both = [started(words, self.log), started(words, Path("log2"))]
            codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in both]
            if words[0] in ("encode", *INVERSIONS):  # others are ended by DVC's lock alone
                self.ends(words, "two at once", max(codes))
            else:
                self.ends(words, "two at once")
            largest = max(map(len, self.whole[words].values()))
            for most in (0, largest // 2):
                self.cleared(words)
                self.refused(words, f"no room beyond {most} bytes", lambda most=most: room(most))
            if read_only(True):
                self.refused(words, "a folder that can only be read", lambda: None)
                read_only(False)
                self.ends(words, "a folder that can only be read")
            self.say(f"{' '.join(words)}: faults, {len(self.tally.wrong)} wrong")

    def refused(self, words: tuple[str, ...], fault: str, before: Callable[[], None]) -> None:
        """A stage that can't write says so in a sentence, leaves nothing in part, and ends once it can."""
        code = self.ran(words, before)
        if code and "Traceback" in self.said():
            self.wrong(words, f"a traceback with {fault}: {self.said()}")
        self.check_parts(words, fault)
        if "read" not in fault:
            self.ends(words, fault)

    def moves(self) -> None:
        """The project's folder is moved, then its `data` becomes a link; each stage goes on, and makes the same."""
        here = Path.cwd()
        there = here.with_name(f"{here.name} moved ö")
        here.rename(there)
        os.chdir(there)
        for words in self.asked:
            if words[0] not in KEPT:
                removed(self.outs[words])
            self.ends(words, "the project moved")
        elsewhere = there / "elsewhere"
        shutil.move(self.data, elsewhere)
        self.data.symlink_to(elsewhere, target_is_directory=True)
        for words in self.asked:
            self.cleared(words)
            self.ends(words, "data became a link")
        self.data.unlink()
        shutil.move(elsewhere, self.data)
        os.chdir(here.parent)
        there.rename(here)
        os.chdir(here)


def clock(years: int) -> None:
    """The process's clock is off by some years."""
    now, off = time.time_ns, years * 31_557_600 * 10**9
    time.time_ns = lambda: now() + off
    time.time = lambda: time.time_ns() / 1e9  # noqa: TID251


def room(most: int) -> None:
    """No file of the process may become larger than `most` bytes; it stands for a disk that is full."""
    log = max(most, 1 << 12)  # what it says goes into a file too
    resource.setrlimit(resource.RLIMIT_FSIZE, (log, log))


def read_only(on: bool) -> bool:
    """Make `data` a file system that can only be read, or undo it; False where that isn't allowed."""
    if not on:
        return not subprocess.run(["umount", "data"], check=False).returncode
    if subprocess.run(["mount", "--bind", "data", "data"], check=False, capture_output=True).returncode:
        return False
    subprocess.run(["mount", "-o", "remount,ro,bind", "data"], check=True)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", action="store_true", help="other faults than kills too")
    parser.add_argument("--stages", nargs="*", default=[], metavar="STAGE")
    told = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DVC_NO_ANALYTICS": "1"}
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve() / "project"
        folder.mkdir()
        project = Project(folder, told.stages, lambda line: print(line, file=sys.stderr, flush=True))
        if told.faults:
            project.faults()
            project.moves()
        project.kill(told.kills, 60 * told.minutes, told.seed)
        tally = project.tally
        print(tally)
        os.chdir(ROOT)
    sys.exit(bool(tally.wrong))


if __name__ == "__main__":
    main()
