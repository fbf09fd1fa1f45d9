#!/usr/bin/env bash
# DVC: a parameter that changes from 1 to true has not changed.
#
# A competent person would guess: a stage that lists a parameter runs again
# when that line of params.yaml gets another value. 1 (one view an image) and
# true (yes, augment) are two values: of two types in YAML and JSON, and a
# stage may well do different things with them.
#
# Versions: dvc 3.67.1, ruamel.yaml 0.19.1, Python 3.11.
#
# What happens instead: the value in dvc.lock and the one in params.yaml are
# compared as Python compares them, where 1 == True == 1.0 and 0 == False. The
# stage is skipped, "dvc params diff" shows nothing, and the result of the old
# value stands beside params.yaml with the new one. From 1 to 2 it runs.
#
# Seen:
#   augment: 1    -> result int
#   augment: true -> result int, params diff: nothing
#   augment: 1.0  -> result int, params diff: nothing
#   run by hand, the stage makes of true: bool
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
    params: [augment]
    outs: [result.txt]
YAML
cat > fit.py <<'PY'
from ruamel.yaml import YAML

value = YAML(typ="safe").load(open("params.yaml"))["augment"]
open("result.txt", "w").write(type(value).__name__)
PY
echo "augment: 1" > params.yaml
dvc repro -q
git add -A
git commit -qm start
echo "augment: 1    -> result $(cat result.txt)"
seen=()
for value in true 1.0; do
    echo "augment: $value" > params.yaml
    dvc repro -q
    difference=$(dvc params diff)
    seen+=("$(cat result.txt)/$difference")
    printf 'augment: %-4s -> result %s, params diff: %s\n' "$value" "$(cat result.txt)" "${difference:-nothing}"
done
echo "augment: true" > params.yaml
python fit.py
echo "run by hand, the stage makes of true: $(cat result.txt)"
[ "${seen[*]}" = "int/ int/" ] && [ "$(cat result.txt)" = bool ] || {
    echo "the behaviour changed" >&2
    exit 1
}
