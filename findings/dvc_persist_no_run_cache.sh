#!/usr/bin/env bash
# DVC: one output with `persist: true` switches a stage's run cache off.
#
# A competent person would guess: `persist: true` says no more than that DVC
# leaves an output in place before it runs the stage's command. Going back to
# parameters that ran before still restores the earlier result, as for any
# output in DVC's cache (the manual's page on the run cache names one
# exception, `cache: false`).
#
# Versions: dvc 3.67.1, Python 3.11.
#
# What happens instead: a stage that has such an output, even beside others
# that have not, is neither written to the run cache nor looked up there. It
# runs again each time its parameters return to earlier values.
#
# Seen:
#   persist: false: 2 runs for x = 1, 2, 1; 2 entries in the run cache
#   persist: true: 3 runs for x = 1, 2, 1; 0 entries in the run cache
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

try() { # BOOL: x = 1, 2, 1; how often does the stage run?
    mkdir "project-$1"
    cd "project-$1"
    git init -q
    dvc init -q
    cat > dvc.yaml <<YAML
stages:
  fit:
    cmd: echo run >> ../runs-$1.log && cp params.yaml model.yaml && cp params.yaml notes.yaml
    params: [x]
    outs:
      - model.yaml
      - notes.yaml:
          persist: $1
YAML
    for x in 1 2 1; do
        echo "x: $x" > params.yaml
        dvc repro -q
        grep -q "x: $x" model.yaml
    done
    runs=$(wc -l < "../runs-$1.log")
    entries=$(find .dvc/cache -path '*/runs/*' -type f | wc -l)
    cd ..
    echo "persist: $1: $runs runs for x = 1, 2, 1; $entries entries in the run cache"
}
try false
plain="$runs $entries"
try true
persisted="$runs $entries"
[ "$plain" = "2 2" ] && [ "$persisted" = "3 0" ] || {
    echo "the behaviour changed" >&2
    exit 1
}
