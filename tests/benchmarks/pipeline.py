"""DVC's own share of a run at the size of Cross the Gap: 7 backbones, 27 datasets, the real dvc.yaml of every stage.

Every stage's work but resolving is replaced by a shell script that writes its outputs, so what is timed is DVC,
resolving and the starting of processes. Prints CPU seconds of a first run and of one when nothing changed, beside the
same of another commit of this repository in turn, and the ratio.

    python tests/benchmarks/pipeline.py [--backbones 7] [--datasets 27] [--default] [--beside 151bcb1 | --beside none]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
BESIDE = "151bcb1"  # code in folders, one dvc.yaml, params: in every cell
IMAGE_SETS = 15  # of the paper's 27; 11 of them, and the 12 text sets, have texts to invert
WORK = """
metrics() { mkdir -p $1/tables; echo $1 > $1/tables/queries.parquet; echo '{"mAP": 0.5}' > $1/metrics.json
  printf 'x,y\\n0,0\\n' > $1/clouds.csv; printf 'step,mAP\\n1,0.5\\n' > $1/curves.csv; }
training() { mkdir -p $1/plots $1/tables; echo '{"loss": 0.5}' > $1/metrics.json; echo {} > $1/recipe.json
  printf 'step\\tloss\\n1\\t0.5\\n' > $1/plots/loss.tsv; echo run > $1/tables/runs.csv; }
store() { mkdir -p data/features/$1/$2; echo $1 $2 > data/features/$1/$2/$3.zarr.zip; }
stage=$1; shift
case "$stage" in
  check) mkdir -p data; echo valid > data/checked ;;
  prepare) mkdir -p data/datasets/$1; echo $1 > data/datasets/$1/manifest.parquet ;;
  finetune) mkdir -p data/backbones/$1; echo $1 > data/backbones/$1/weights; training data/metrics/training/$1 ;;
  idealised) training data/metrics/idealised/$1 ;;
  weights) mkdir -p data/weights
    for name in ${1:-$(cd data/resolved/encode; ls)}; do echo $name > data/weights/$name.json; done ;;
  encode) store $1 $2 native ;;
  sweep) store $1 $2 oti-$3 ;;
  seeds) store $1 $2 $3-seed-$4 ;;
  distil) mkdir -p data/distilled/$1/$2; echo $1 $2 > data/distilled/$1/$2/$3-$4.safetensors ;;
  distilled) store $1 $2 $4-$5-$3 ;;
  oti|ovi) case "$3" in
      --tokens) store $1 $2 $stage-$4 ;;
      --seed) store $1 $2 $stage-seed-$4 ;;
      *) store $1 $2 $stage ;;
    esac ;;
  evaluate) metrics data/metrics/$1/$2 ;;
  report) mkdir -p data/report; echo page > data/report/index.html ;;
esac
"""
STUBS = {  # by the form of a stage's command
    "python stages/": 'stage=${1#stages/}; shift; set -- ${stage%.py} "$@"',
    "python -m stages": """stage=${2#stages.}; shift 2
[ "$stage" != resolve ] || exec PYTHON -m stages.resolve
set -- $stage "$@\"""",
}


def project(folder: Path, source: Path, run: dict | None, names: Sequence[str]) -> dict[str, str]:
    """A copy of the project at `source` with a stub for `python`; the environment to run DVC in.

    Args:
        run: the section of params.yaml; that of the default run, if not given.
        names: of datasets, declared like the embedded one.
    """
    for name in (
        "crossgap",
        "stages",
        "dvc.yaml",
        ".dvcignore",
        ".dvc/plots",
        "data/backbones",
        "data/reference",
    ):
        if (source / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.lock")
            shutil.copytree(source / name, folder / name, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy(source / name, folder / name)
    for path in (folder / "data/backbones").iterdir():
        if path.name != "nano":
            shutil.rmtree(path)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    if run is not None:
        (folder / "params.yaml").write_text(yaml.safe_dump(_params(source, run, names), sort_keys=False))
    else:
        shutil.copy(source / "params.yaml", folder / "params.yaml")
    form = next(form for form in STUBS if form in (source / "dvc.yaml").read_text())
    stub = folder / "bin" / "python"
    stub.parent.mkdir()
    stub.write_text(f"#!/bin/sh\n{STUBS[form].replace('PYTHON', sys.executable)}\n{WORK}")
    stub.chmod(0o755)
    environment["PATH"] = f"{stub.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    for command in ("git init -q", "dvc init -q -f", "dvc config core.analytics false"):
        subprocess.run(command.split(), cwd=folder, env=environment, check=True)
    return environment


def _params(source: Path, run: dict, names: Sequence[str]) -> dict:
    """params.yaml with datasets like the embedded one and backbones like the embedded one, under other names."""
    params = yaml.safe_load((source / "params.yaml").read_text())
    show = "import json; from crossgap.params import load; p = load(); print(json.dumps([p.backbones['nano']"
    show += ".model_dump(mode='json', exclude_unset=True), p.datasets['world'].model_dump(mode='json')]))"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    told = subprocess.run(
        [sys.executable, "-c", show], cwd=source, env=environment, check=True, capture_output=True, text=True
    )
    backbone, dataset = json.loads(told.stdout)
    if "distil" in params["run"]:  # not of older commits
        none = {name: [] for name in ("backbones", "datasets", "sources", "methods", "losses")}
        run = {**run, "distil": none}
    trained = {*params.get("finetune", {}), *params.get("pretrain", {})}
    rows = {name: row for name, row in (params.get("backbones") or {}).items() if name not in trained}
    return params | {
        "run": run,
        "finetune": {},
        "pretrain": {},
        "idealised": {},
        "backbones": rows | dict.fromkeys(run["backbones"], backbone),
        "datasets": (params.get("datasets") or {}) | dict.fromkeys(names, dataset),
    }


def papers_run(backbones: int, datasets: int) -> tuple[dict, list[str]]:
    """`run` of so many cells, inverted as far as Cross the Gap inverts, and the names of the datasets."""
    held, names = [f"b{n}" for n in range(backbones)], [f"d{n:02}" for n in range(datasets)]
    images = round(datasets * IMAGE_SETS / 27)
    texts = names[max(0, images - round(datasets * 11 / 27)) :]
    none = {"backbones": [], "datasets": []}
    run = {
        "backbones": held,
        "datasets": names,
        "oti": {"backbones": held, "datasets": names[:images]},
        "ovi": {"backbones": held, "datasets": texts},
        "sweep": {**none, "tokens": []},
        "seeds": {**none, "methods": [], "seeds": []},
        "imports": [],
    }
    return run, names


def timed(folder: Path, environment: dict[str, str]) -> float:
    """CPU seconds of `dvc repro`, its processes among them."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["dvc", "repro", "-q"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"dvc repro failed in {folder}:\n{done.stdout}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def checked_out(commit: str, folder: Path) -> Path:
    """The files of another commit."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "x", "-C", str(folder)], input=archive, check=True)
    return folder


def measured(source: Path, run: dict | None, names: Sequence[str], folder: Path) -> dict[str, float]:
    """CPU seconds of the first run and, the least of three, when nothing changed; the lines of all locks; stages."""
    environment = project(folder, source, run, names)
    listed = subprocess.run(
        ["dvc", "stage", "list", "--all", "--name-only"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    first = timed(folder, environment)
    again = min(timed(folder, environment) for _ in range(3))
    locks = [*folder.glob("dvc.lock"), *folder.glob("stages/*/dvc.lock")]
    lines = sum(len(lock.read_text().splitlines()) for lock in locks)
    return {
        "stages": len(listed.stdout.split()),
        "first run": first,
        "nothing changed": again,
        "lines of locks": lines,
    }


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", type=int, default=7)
    parser.add_argument("--datasets", type=int, default=27)
    parser.add_argument(
        "--default", action="store_true", help="the default run in place of the paper's cells"
    )
    parser.add_argument("--beside", default=BESIDE, help="another commit, or none")
    given = parser.parse_args(words)
    run, names = (None, []) if given.default else papers_run(given.backbones, given.datasets)
    what = "the default run" if given.default else f"{given.backbones} backbones x {given.datasets} datasets"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours = measured(ROOT, run, names, folder / "ours")
        print(
            f"{what}, CPU seconds:",
            *(f"{name} {value:.4g}" for name, value in ours.items()),
            sep="  ",
            flush=True,
        )
        if given.beside == "none":
            return
        theirs = measured(checked_out(given.beside, folder / "source"), run, names, folder / "theirs")
        print(
            f"the same at {given.beside}:",
            *(f"{name} {value:.4g}" for name, value in theirs.items()),
            sep="  ",
        )
        for name in ("first run", "nothing changed"):
            print(f"{name}: {theirs[name] / ours[name]:.2f} times less")


if __name__ == "__main__":
    main()
