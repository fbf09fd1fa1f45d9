#!/usr/bin/env bash
# DVC: a folder of outputs that is a link to a larger disk fails the stage, once it has run.
#
# A competent person would guess: the folder of large outputs may be a link to a disk with
# room, as git ignores it anyway, and dependencies may be linked, too. Or DVC, which knows
# the output's path from dvc.yaml, refuses it before the stage's command starts.
#
# Versions: dvc 3.67.1, scmrepo 3.6.2, Python 3.11.
#
# What happens instead: the command runs to its end, hours of it, and then the stage fails,
# because the output lies outside of the git repository. Nothing of it is in dvc.lock nor in
# the cache, so each `dvc repro` runs the command again, and fails again. `dvc status` says
# no word of it before. Without git (core.no_scm) all works; with git, where the link leads
# to somewhere within the repository, too.
#
# Seen, runs of the command after two times `dvc repro`:
#   link out of the repository: 2 runs, rc 255: is outside of git repository
#   link within the repository: 1 run, rc 0
#   link out of it, no_scm:     1 run, rc 0
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

try() { # NAME TARGET SCM: where data/features leads to, and whether git is used
    mkdir -p "$1/data"
    cd "$1"
    if [ "$3" = git ]; then
        git init -q
        dvc init -q
        echo /data > .gitignore
    else
        dvc init -q --no-scm
    fi
    mkdir -p "$2"
    ln -s "$(cd "$2" && pwd)" data/features
    cat > dvc.yaml <<'YAML'
stages:
  encode:
    cmd: echo run >> runs.txt && echo features > data/features/store
    outs: [data/features/store]
YAML
    rc=0
    for _ in 1 2; do
        rc=0
        dvc repro > said.txt 2>&1 || rc=$?
    done
    runs=$(wc -l < runs.txt)
    cd "$tmp"
}

try outside "$tmp/disk" git
outside="$runs $rc"
said=$(grep -o "is outside of git repository" outside/said.txt || true)
echo "link out of the repository: $runs runs, rc $rc: $said"
try within large git
within="$runs $rc"
echo "link within the repository: $runs run, rc $rc"
try bare "$tmp/disk2" none
bare="$runs $rc"
echo "link out of it, no_scm:     $runs run, rc $rc"

[ "$outside" = "2 255" ]
[ "$said" = "is outside of git repository" ]
[ "$within" = "1 0" ]
[ "$bare" = "1 0" ]
[ ! -e outside/dvc.lock ]
