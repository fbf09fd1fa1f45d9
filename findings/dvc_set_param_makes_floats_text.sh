#!/usr/bin/env bash
# DVC and PyYAML: `dvc exp run -S lr=0.00001` makes a text of the number.
#
# A competent person would guess: DVC writes into params.yaml the number that
# was given, and the stage, which reads that file with yaml.safe_load, gets the
# float 0.00001, as it does when the same line is typed by hand.
#
# Versions: dvc 3.67.1, ruamel.yaml 0.19.1, PyYAML 6.0.3, Python 3.11.
#
# What happens instead: DVC writes "lr: 1e-05". It reads and writes YAML 1.2,
# where that is a float; PyYAML reads YAML 1.1, where a float with an exponent
# needs a point ("1.0e-05"), and gives the string "1e-05". Numbers down to
# 0.0001 are written in full, so one value of a sweep breaks and others don't.
# DVC itself goes on calling the value a float (its lock, params diff, JSON).
#
# Seen:
#   -S lr=0.0001:  params.yaml has "lr: 0.0001", PyYAML reads a float, DVC a float
#   -S lr=0.00001: params.yaml has "lr: 1e-05", PyYAML reads a str, DVC a float
#   typed by hand as 0.00001: PyYAML reads a float
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check dvc==3.67.1 dvc-data==3.18.3 \
    dvc-objects==5.2.0 scmrepo==3.6.2 ruamel.yaml==0.19.1 pathspec==1.1.1 pyyaml==6.0.3
export PATH="$tmp/venv/bin:$PATH" DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$tmp/site"
export DVC_GLOBAL_CONFIG_DIR="$tmp/global" DVC_SYSTEM_CONFIG_DIR="$tmp/system"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com

mkdir project
cd project
git init -q
dvc init -q
cat > dvc.yaml <<'YAML'
stages:
  fit:
    cmd: python fit.py
    params: [lr]
    outs: [type.txt]
YAML
cat > fit.py <<'PY'
import yaml

value = yaml.safe_load(open("params.yaml"))["lr"]
open("type.txt", "w").write(type(value).__name__)
PY
echo "lr: 0.1" > params.yaml
git add -A
git commit -qm start

as_dvc() { dvc params diff --all --json | python -c 'import json, sys; print(type(json.load(sys.stdin)["params.yaml"]["lr"]["new"]).__name__)'; }
seen=()
for value in 0.0001 0.00001; do
    dvc exp run -q -S lr=$value
    seen+=("$(cat params.yaml)/$(cat type.txt)/$(as_dvc)")
    printf -- '-S lr=%-8s params.yaml has "%s", PyYAML reads a %s, DVC a %s\n' "$value:" "$(cat params.yaml)" "$(cat type.txt)" "$(as_dvc)"
done
echo "lr: 0.00001" > params.yaml
python fit.py
echo "typed by hand as 0.00001: PyYAML reads a $(cat type.txt)"
[ "${seen[*]}" = "lr: 0.0001/float/float lr: 1e-05/str/float" ] && [ "$(cat type.txt)" = float ] || {
    echo "the behaviour changed" >&2
    exit 1
}
