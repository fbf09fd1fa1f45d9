#!/usr/bin/env bash
# DVC: params.yaml edited while a stage runs counts as what the stage ran with.
#
# A competent person would guess: DVC looks at parameters before it starts a
# stage, to tell whether it has to run, and writes those down. Who edits
# params.yaml for the next experiment while this one still computes finds the
# edit run by the next "dvc repro", or is told that something changed meanwhile.
#
# Versions: dvc 3.67.1, ruamel.yaml 0.19.1, Python 3.11.
#
# What happens instead: what goes into dvc.lock, and into the run cache that a
# team shares, is read when the stage's command has ended. The result of the
# old value stands there under the new one. "dvc status" and "dvc repro" find
# nothing to do, and elsewhere the run cache gives this result for the new
# value instead of running the stage.
#
# Seen:
#   seed 1 when the stage starts, seed 2 when it ends
#   result: of seed 1; dvc.lock: seed: 2
#   dvc status: Data and pipelines are up to date.
#   runs of the stage once "dvc repro" was asked again: 1
#   without lock and result, seed 2 from the run cache: of seed 1
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check dvc==3.67.1 dvc-data==3.18.3 \
    dvc-objects==5.2.0 scmrepo==3.6.2 ruamel.yaml==0.19.1 pathspec==1.1.1
export PATH="$tmp/venv/bin:$PATH" DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$tmp/site"
export DVC_GLOBAL_CONFIG_DIR="$tmp/global" DVC_SYSTEM_CONFIG_DIR="$tmp/system"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1

mkdir project
cd project
git init -q
dvc init -q
cat > dvc.yaml <<'YAML'
stages:
  fit:
    cmd: python fit.py
    params: [seed]
    outs: [result.txt]
YAML
cat > fit.py <<'PY'
import time
from pathlib import Path
from ruamel.yaml import YAML

seed = YAML(typ="safe").load(open("params.yaml"))["seed"]
with open("../runs", "a") as runs:
    runs.write("run\n")
while not Path("../edited").exists():
    time.sleep(0.1)
Path("result.txt").write_text(f"of seed {seed}")
PY
echo "seed: 1" > params.yaml
dvc repro -q &
until [ -s ../runs ]; do sleep 0.1; done
echo "seed: 2" > params.yaml
touch ../edited
wait "$!"
echo "seed 1 when the stage starts, seed 2 when it ends"
result=$(cat result.txt) noted=$(grep -o "seed: .*" dvc.lock)
echo "result: $result; dvc.lock: $noted"
status=$(dvc status)
echo "dvc status: $status"
dvc repro -q
runs=$(wc -l < ../runs)
echo "runs of the stage once \"dvc repro\" was asked again: $runs"
rm dvc.lock result.txt
dvc repro -q
echo "without lock and result, seed 2 from the run cache: $(cat result.txt)"
[ "$result/$noted/$runs/$(cat result.txt)/$(wc -l < ../runs)" = "of seed 1/seed: 2/1/of seed 1/1" ] &&
    [ "$status" = "Data and pipelines are up to date." ] || {
    echo "the behaviour changed" >&2
    exit 1
}
