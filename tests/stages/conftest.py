"""A project to run the real DVC in: a copy of this one, with a git history of its own and little to do."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from crossgap import numbers
from tests.runs import run_of
from tests.stages.forking import Forking

ROOT = Path(__file__).parents[2]
COPIED = (
    "dvc.yaml",
    "dvc.lock",
    "data/backbones/nano",
    "data/reference",
    "params.yaml",
    ".dvcignore",
    ".gitignore",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvc/plots",
    "stages",
    "crossgap",
)
SMALL = {
    "datasets.world.images": {"train": 6, "test": 8},
    "datasets.world.vocabulary": "none",
    "oti.steps": 2,
    "ovi.steps": 2,
    "ovi.gallery": False,
    "oti.snapshots": [1],
    "ovi.snapshots": [],
    "run.sweep.tokens": [2],
    "distil": {"oti": {"epochs": 2, "batch_size": 4, "steps": 1}, "ovi": {"epochs": 2, "batch_size": 4}},
    "run.backbones": ["nano"],
    "run.oti.backbones": ["nano"],
    "run.seeds": {"backbones": ["nano"], "datasets": ["world"], "methods": ["oti"], "seeds": [1]},
    "finetune": {},
    "pretrain": {},
    "idealised": {},
    "evaluate.resamples": 99,
    "evaluate.draws": 2,
    "evaluate.shots": [1, 2],
    "evaluate.logistic": "none",
    "evaluate.corrections": ["centering"],
    "machine": {
        "device": "cpu",
        "batch_size": 64,
        "workers": 0,
        "shard_size": 64,
        "inversion_batch_size": 16,
    },
}

WHOLE = {  # of an evaluation as it is by default
    "datasets.world.vocabulary": "world",
    "evaluate.resamples": 999,
    "evaluate.shots": [1, 2, 4, 8, 16],
    "evaluate.logistic": "native",
    "evaluate.corrections": None,
}


# At the exit of every python, which of our modules it had loaded, by the module that it ran.
WATCH = """
import atexit, json, sys, uuid
from pathlib import Path

@atexit.register
def tell():
    ran = getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", None)
    ours = [name for name in sys.modules if name.partition(".")[0] in ("crossgap", "stages")]
    if ran and ran.startswith("stages."):
        told = json.dumps({"ran": ran, "words": sys.argv[1:], "loaded": sorted({*ours, ran})})
        Path(__file__).with_name(f"{uuid.uuid4().hex}.json").write_text(told)
"""


class Checkout:
    """A folder that commands run in, with the variables they see."""

    folder: Path
    environment: dict[str, str]

    def __truediv__(self, path: str) -> Path:
        return self.folder / path

    def command(self, *words: str, ok: bool = True) -> str:
        """What the command printed; it must succeed, or fail where `ok` is False."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (done.returncode == 0) == ok, f"{words} gave {done.returncode}:\n{done.stdout}"
        return done.stdout


class Project(Checkout):
    """A copy of the project in `folder`."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.watching = folder.with_name(f"{folder.name}-watching")
        self.watching.mkdir()
        (self.watching / "sitecustomize.py").write_text(WATCH)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.watching),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "DVC_NO_ANALYTICS": "1",
            **{
                f"GIT_{who}_{what}": "test@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        self.run_by(programs)
        for name in COPIED:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        self.declared = yaml.safe_load((folder / "params.yaml").read_text())
        self.edit(**SMALL)
        self.command("git", "init", "-q")

    def run_by(self, programs: Path) -> None:
        """Take `python` from this folder."""
        path = (programs, Path(sys.executable).parent, os.environ["PATH"])
        self.environment["PATH"] = os.pathsep.join(map(str, path))

    def edit(self, **values: object) -> None:
        """Write params.yaml with the values at these dotted places."""
        for place, value in values.items():
            *sections, last = place.split(".")
            at = self.declared
            for section in sections:
                at = at[section]
            at[last] = copy.deepcopy(value)
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.declared, sort_keys=False))

    run_of = staticmethod(run_of)

    def dvc(self, *words: str, ok: bool = True) -> str:
        """What DVC printed; `stage@item` stands for a cell's whole name, in what it is told and in what it says."""
        told = [self.address(word) if re.match(r"[a-z-]+@", word) else word for word in words]
        printed = self.command(sys.executable, "-m", "dvc", *told, ok=ok)
        return re.sub(r"stages/[a-z]+/dvc\.yaml:", "", printed)

    def cloned(self, folder: Path) -> Project:
        """Another clone of the repository, with a DVC cache of its own."""
        self.command("git", "clone", "-q", str(self.folder), str(folder))
        there = copy.copy(self)
        there.folder, there.declared = folder, copy.deepcopy(self.declared)
        return there

    @staticmethod
    def address(cell: str) -> str:
        """A cell's whole name, with the file that its stage is in."""
        stage = cell.partition("@")[0]
        folder = {"evaluate-import": "evaluate"}.get(stage, stage)
        return f"stages/{folder}/dvc.yaml:{cell}"

    def stage(self, *words: str, ok: bool = True) -> str:
        """A stage's own command, without DVC."""
        return self.command("python", "-m", f"stages.{words[0]}", *words[1:], ok=ok)

    def crossgap(self, *words: str, ok: bool = True) -> str:
        return self.command(str(Path(sys.executable).parent / "crossgap"), *words, ok=ok)

    def repro(self, *words: str) -> set[str]:
        """Run `dvc repro`; the stages whose command ran."""
        return set(re.findall(r"^Running stage '(.+)':", self.dvc("repro", *words), re.MULTILINE))

    def loaded(self) -> list[dict]:
        """Of every stage that ran, its module (`ran`), its `words`, and which of our modules it had `loaded`."""
        return [json.loads(path.read_text()) for path in sorted(self.watching.glob("*.json"))]

    def metrics(self, cell: str) -> dict[str, float]:
        """All numbers of a cell, by their keys."""
        return numbers.read(self / f"data/metrics/{cell}/tables/metrics.csv")

    def commit(self) -> None:
        self.command("git", "add", "--all")
        self.command("git", "commit", "-q", "--allow-empty", "-m", "state")


@pytest.fixture(scope="session")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    started = Forking(tmp_path_factory.mktemp("forking"))
    yield started
    started.end()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, request) -> Project:
    """The project with its embedded backbone, and beside it an untrained one of two layers in `tiny`.

    Its `python` is one that has imported the libraries, unless the module of the tests is `PLAIN`.
    """
    plain = getattr(request.module, "PLAIN", False)
    programs = Path(sys.executable).parent if plain else request.getfixturevalue("forking").bin
    made = Project(tmp_path_factory.mktemp("project"), programs)
    shutil.copytree(tiny_folder, made / "tiny")
    return made


PLANNED = """
import json
from pathlib import Path

from crossgap.params import load
from crossgap.planning import resolve
from crossgap.planning.pipeline import outdated

params = load()
changed = resolve.changed(params, resolve.resolved(params, {}), Path("data/resolved"))
print(json.dumps(sorted(outdated(Path(), changed))))
"""


class Stubbed(Checkout):
    """A copy of the project whose stages but the first only write their outputs."""

    listed: tuple[dict, set[str]] = {}, set()  # what params.yaml asks for, and all cells of that

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        spec = importlib.util.spec_from_file_location("pipeline", ROOT / "tests/benchmarks/pipeline.py")
        pipeline = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(pipeline)
        self.environment = {
            **pipeline.project(folder, ROOT, None, []),
            **{
                f"GIT_{who}_{what}": "test@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        for name in (".gitignore", ".dvc/config"):
            shutil.copy(ROOT / name, folder / name)

    def cloned(self, folder: Path) -> Stubbed:
        """Another clone of the repository, with a DVC cache of its own."""
        self.command("git", "clone", "-q", str(self.folder), str(folder))
        there = Stubbed.__new__(Stubbed)
        there.folder, there.environment = folder, {**self.environment, "PYTHONPATH": str(folder)}
        return there

    def commit(self, message: str = "state") -> None:
        self.command("git", "add", "--all")
        self.command("git", "commit", "-q", "--allow-empty", "-m", message)

    def repro(self, *words: str) -> set[str]:
        """The stages whose command ran, without what stands before the last colon."""
        printed = self.command("dvc", "repro", *words)
        found = re.findall(r"^Running stage '(.+)':", printed, re.MULTILINE)
        return {name.rpartition(":")[2] for name in found}

    def planned(self) -> set[str]:
        """The stages that `crossgap plan` holds for out of date, named like those of `repro`."""
        told = self.command(sys.executable, "-c", PLANNED)
        return {name.rpartition(":")[2] for name in json.loads(told.splitlines()[-1])}

    def edit(self, place: str, value: object) -> None:
        params = yaml.safe_load((self / "params.yaml").read_text())
        *sections, last = place.split(".")
        at = params
        for section in sections:
            at = at[section]
        at[last] = value
        (self / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def of(self, *kinds: str) -> set[str]:
        """All cells of these stages; DVC is asked which there are where params.yaml may name others than before."""
        params = yaml.safe_load((self / "params.yaml").read_text())
        asked = {name: params["run"] if name == "run" else list(rows or ()) for name, rows in params.items()}
        if self.listed[0] != asked:
            listed = self.command("dvc", "stage", "list", "--all", "--name-only").split()
            self.listed = asked, {line.rpartition(":")[2] for line in listed}
        return {name for name in self.listed[1] if name.partition("@")[0] in kinds}


@pytest.fixture(scope="module")
def whole(project: Project) -> Project:
    """The project, evaluated as by default."""
    project.edit(**WHOLE)
    return project


@pytest.fixture(scope="session")
def stubbed() -> type[Stubbed]:
    return Stubbed
