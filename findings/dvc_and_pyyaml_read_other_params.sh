#!/usr/bin/env bash
# DVC: the stage that reads params.yaml with PyYAML gets other values than DVC notes.
#
# A competent person would guess: params.yaml says one thing. DVC fills ${lr} into commands,
# notes the values in dvc.lock and shows them in its tables of experiments; the script of the
# stage opens the same file with yaml.safe_load, as DVC's own tutorial does. Both have the
# same numbers, so the table says what was run.
#
# Versions: dvc 3.67.1, ruamel.yaml 0.19.1, PyYAML 6.0.3, Python 3.11.
#
# What happens instead: DVC reads YAML 1.2, by ruamel.yaml, and PyYAML reads YAML 1.1. A
# learning rate 1e-4 is a number to one and a string to the other, which a check against a
# schema notices. What nobody notices are other numbers: 010 shards are 10 and 8, a crop of
# 1:30 is a string and 90, and the flag "on" is a string and true, "off" a string, which
# counts as true, and false. The command has one value, the script that it starts another, and
# dvc.lock and "dvc params diff" the first.
#
# Seen:
#   shards: 010   DVC 10      PyYAML 8
#   lr: 1e-4      DVC 0.0001  PyYAML '1e-4'
#   augment: off  DVC 'off'   PyYAML False
#   ratio: 1:30   DVC '1:30'  PyYAML 90
#   the command: fit.py --shards 10, the script: 8, dvc.lock: 10
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

mkdir project
cd project
git init -q
dvc init -q
cat > params.yaml <<'YAML'
shards: 010
lr: 1e-4
augment: off
ratio: 1:30
YAML
cat > dvc.yaml <<'YAML'
stages:
  fit:
    cmd: python fit.py --shards ${shards}
    params: [shards, lr, augment, ratio]
    outs: [result.txt]
YAML
cat > fit.py <<'PY'
import sys

import yaml

params = yaml.safe_load(open("params.yaml"))
open("result.txt", "w").write(f"{sys.argv[2]} {params['shards']}")
PY
dvc repro -q
cat > compare.py <<'PY'
import sys

import dvc.api
import yaml

noted, read = dvc.api.params_show(), yaml.safe_load(open("params.yaml"))
for line in open("params.yaml").read().splitlines():
    name = line.partition(":")[0]
    print(f"{line:<13} DVC {noted[name]!r:<7} PyYAML {read[name]!r}")
lock = yaml.safe_load(open("dvc.lock"))["stages"]["fit"]["params"]["params.yaml"]["shards"]
told, used = open("result.txt").read().split()
print(f"the command: fit.py --shards {told}, the script: {used}, dvc.lock: {lock}")
if (told, used, lock) != ("10", "8", 10) or list(noted.values()) != [10, 0.0001, "off", "1:30"]:
    sys.exit("the behaviour changed")
if list(read.values()) != [8, "1e-4", False, 90]:
    sys.exit("the behaviour changed")
PY
python compare.py
