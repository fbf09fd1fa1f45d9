"""`crossgap init` by an installed wheel: a project on one's own images, in which the real DVC runs what it should."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from crossgap import numbers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SOURCES = ("crossgap", "stages", "data/backbones", "data/reference", ".dvc/plots", ".dvc/config", ".dvcignore",
           ".gitignore", "LICENSE", "README.md", "dvc.lock", "dvc.yaml", "params.yaml", "pyproject.toml")  # fmt: skip
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
APP = "from crossgap.cli import app; app()"
FIRST = {
    "resolve",
    "prepare@birds",
    "weights",
    "encode@nano-birds",
    "oti@nano-birds",
    "evaluate@nano-birds",
    "report",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of commands that see the wheel, built from a source distribution, and no repository."""
    folder = tmp_path_factory.mktemp("built")
    source, out = folder / "source", folder / "out"
    for name in SOURCES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-c", BUILD, "build_sdist", out], cwd=source, check=True, capture_output=True
    )
    (archive,) = out.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    unpacked = folder / archive.name.removesuffix(".tar.gz")
    subprocess.run(
        [sys.executable, "-c", BUILD, "build_wheel", out], cwd=unpacked, check=True, capture_output=True
    )
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "installed")
    identity = {
        f"GIT_{who}_{what}": "test@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DVC_NO_ANALYTICS": "1"}
    return {**os.environ, **identity, **quiet, "PATH": path, "PYTHONPATH": str(folder / "installed")}


def said(environment: dict[str, str], folder: Path, *words: str, ok: bool = True) -> str:
    done = subprocess.run(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert (done.returncode == 0) == ok, done.stdout
    return done.stdout


def test_a_new_project_runs_and_after_an_edit_only_what_changed(environment, tmp_path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for kind in ("owl", "wren"):
            (tmp_path / "photos" / split / kind).mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / split / kind / f"{number}.png")
    told = said(
        environment, tmp_path, sys.executable, "-c", APP, "init", "birds", "--images", "photos", "--dataset", "birds",
        "--backbone", "nano", "--remote", "/team",
    )  # fmt: skip
    assert "birds is a project: nano on birds" in told
    project = tmp_path / "birds"
    assert not (project / "crossgap").exists() and "crossgap.json" in (project / "dvc.yaml").read_text()
    assert "url = /team" in (project / ".dvc/config").read_text()

    def edit(**sections: dict) -> None:
        params = yaml.safe_load((project / "params.yaml").read_text())
        changed = {name: params[name] | held for name, held in sections.items()}
        (project / "params.yaml").write_text(yaml.safe_dump(params | changed, sort_keys=False))

    def repro() -> set[str]:
        printed = said(environment, project, sys.executable, "-m", "dvc", "repro")
        return {
            name.rpartition(":")[2] for name in re.findall(r"^Running stage '(.+)':", printed, re.MULTILINE)
        }

    none = {"backbones": [], "datasets": []}
    edit(
        run={"ovi": none},
        oti={"steps": 1, "snapshots": []},
        evaluate={"resamples": 99, "corrections": [], "draws": 1, "shots": [1]},
        machine={"device": "cpu", "workers": 0},
    )
    assert repro() == FIRST
    found = numbers.read(project / "data/metrics/nano/birds/tables/metrics.csv")
    assert found["items/image/test"] == 8 and 0 < found["retrieval/oti-image/class/mAP"] <= 1
    edit(oti={"steps": 2, "snapshots": []})
    assert repro() == {"resolve", "oti@nano-birds", "evaluate@nano-birds", "report"}
    assert repro() == set()
    said(environment, project, "git", "add", "--all")
    said(environment, project, "git", "commit", "-qm", "as it is")

    installed = Path(environment["PYTHONPATH"], "crossgap", "naming.py")
    installed.write_text(installed.read_text() + "\n# another crossgap\n")
    refused = said(environment, project, sys.executable, "-m", "stages.resolve", ok=False)
    assert (
        "another crossgap 0.1.0 than the one installed" in refused and "crossgap init --update ." in refused
    )
    said(environment, project, sys.executable, "-c", APP, "init", "--update", ".")
    changed = said(environment, project, "git", "status", "--porcelain").split()
    assert changed == ["M", "crossgap.json"]
    said(environment, project, sys.executable, "-m", "stages.resolve")
