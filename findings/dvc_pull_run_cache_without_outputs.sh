#!/usr/bin/env bash
# DVC: `dvc pull --run-cache` brings the record of a run, not its result.
#
# A competent person would guess: where one clone has pushed its runs with
# `dvc push --run-cache`, another clone that pulls with `dvc pull --run-cache`
# can restore them: setting the same parameter there and calling `dvc repro`
# takes the result instead of computing it again.
#
# Versions: dvc 3.67.1, Python 3.11.
#
# What happens instead: the pull fetches all entries of the run cache, but
# only the outputs that the committed dvc.lock names. The push did send the
# output of the other run, and the entry says which it is, yet `dvc repro`
# does not find it in the local cache and runs the stage again.
# `dvc repro --pull` from the same state fetches that output and runs nothing.
#
# Seen:
#   runs in the first clone: 2
#   dvc pull --run-cache: 2 run entries, 1 outputs; dvc repro: ran 1
#   dvc pull --run-cache: 2 run entries, 1 outputs; dvc repro --pull: ran 0
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

mkdir one store
cd one
git init -q
dvc init -q
dvc remote add -q -d store ../store
echo "x: 1" > params.yaml
cat > dvc.yaml <<'YAML'
stages:
  fit:
    cmd: echo "$CLONE" >> ../runs.log && cp params.yaml result.yaml
    params: [x]
    outs: [result.yaml]
YAML
export CLONE=one
dvc repro -q
git add -A
git commit -qm "x is 1"
dvc push -q
echo "x: 2" > params.yaml
dvc repro -q
dvc push -q --run-cache # the lock with x = 2 stays uncommitted
cd ..
echo "runs in the first clone: $(grep -c one runs.log)"

try() { # NAME OPTION...: a new clone that pulls, sets x to 2 and reproduces
    local name=$1
    shift
    git clone -q one "$name"
    cd "$name"
    dvc pull -q --run-cache
    entries=$(find .dvc/cache/runs -type f | wc -l)
    outputs=$(find .dvc/cache/files -type f | wc -l)
    echo "x: 2" > params.yaml
    CLONE=$name dvc repro -q "$@"
    cd ..
    ran=$(grep -c "$name" runs.log || true)
    echo "dvc pull --run-cache: $entries run entries, $outputs outputs; dvc repro${*:+ $*}: ran $ran"
}
try two
without="$entries $outputs $ran"
try three --pull
with="$entries $outputs $ran"
[ "$without" = "2 1 1" ] && [ "$with" = "2 1 0" ] || {
    echo "the behaviour changed" >&2
    exit 1
}
