"""DVC's own share of a run at the size of Cross the Gap: 7 backbones, 27 datasets, the real dvc.yaml.

Every stage's work is replaced by a shell script that writes its outputs, so what is timed is DVC and the starting of
processes. Prints a first run, a run when nothing changed, and the stub's own time for scale.

    python tests/benchmarks/pipeline.py [--backbones 7] [--datasets 27]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
IMAGE_SETS = 15  # of the paper's 27; 11 of them, and the 12 text sets, have texts to invert
STUB = """#!/bin/sh
case "$1" in
  stages/check.py) echo valid > data/checked ;;
  stages/prepare.py) mkdir -p data/datasets/$2; echo $2 > data/datasets/$2/manifest.parquet ;;
  stages/encode.py) mkdir -p data/features/$2/$3; echo $2 $3 > data/features/$2/$3/native.zarr.zip ;;
  stages/oti.py) echo $2 $3 > data/features/$2/$3/oti.zarr.zip ;;
  stages/ovi.py) echo $2 $3 > data/features/$2/$3/ovi.zarr.zip ;;
  stages/evaluate.py) f=data/metrics/$2/$3; mkdir -p $f/tables; echo $2 $3 > $f/tables/queries.parquet
    echo '{"mAP": 0.5}' > $f/metrics.json
    printf 'x,y\\n0,0\\n' > $f/clouds.csv; printf 'step,mAP\\n1,0.5\\n' > $f/curves.csv ;;
  stages/report.py) mkdir -p data/report; echo page > data/report/index.html ;;
esac
"""


def project(folder: Path, backbones: int, datasets: int) -> dict[str, str]:
    """A copy of the project with a large params.yaml and a stub for `python`; the environment to run DVC in."""
    for name in ("crossgap", "stages", "dvc.yaml", ".dvcignore", "data/backbones", "data/reference"):
        source, target = ROOT / name, folder / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    names = [f"d{number:02}" for number in range(datasets)]
    images = round(datasets * IMAGE_SETS / 27)
    params["run"] = {
        "backbones": [f"b{number}" for number in range(backbones)],
        "datasets": names,
        "oti": names[:images],
        "ovi": names[max(0, images - round(datasets * 11 / 27)) :],
        "sweep": {"datasets": [], "tokens": []},
        "seeds": {"datasets": [], "methods": [], "seeds": []},
        "imports": [],
    }
    params["backbones"] = {name: params["backbones"]["nano"] for name in params["run"]["backbones"]}
    params["datasets"] = {name: params["datasets"]["world"] for name in names}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    stub = folder / "bin" / "python"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    environment = {**os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    for command in ("git init -q", "dvc init -q", "dvc config core.analytics false", "dvc commit -q -f nano"):
        subprocess.run(command.split(), cwd=folder, env=environment, check=True)
    return environment


def timed(command: str, folder: Path, environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command.split(), cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", type=int, default=7)
    parser.add_argument("--datasets", type=int, default=27)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = project(folder, given.backbones, given.datasets)
        listed = subprocess.run(
            ["dvc", "stage", "list", "--name-only"], cwd=folder, capture_output=True, text=True
        )
        stages = len(listed.stdout.split())
        stub = (
            timed(f"{folder}/bin/python stages/check.py", folder, environment)
            if (folder / "data").exists()
            else 0
        )
        print(f"{given.backbones} backbones x {given.datasets} datasets: {stages} stages", flush=True)
        first = timed("dvc repro -q", folder, environment)
        print(
            f"first run          {first:7.1f} s   ({first / stages:.2f} s a stage; the stub's work {stub:.3f} s)",
            flush=True,
        )
        print(f"nothing changed    {timed('dvc repro -q', folder, environment):7.1f} s", flush=True)
        lock = (folder / "dvc.lock").read_text()
        print(f"dvc.lock           {len(lock.splitlines())} lines")


if __name__ == "__main__":
    main()
