#!/usr/bin/env bash
# DVC: two cells of a stage's matrix can become one, and the other is not run.
#
# A competent person would guess: a matrix of two values by two values is four
# stages, or DVC refuses the file because two of them would have one name (it
# does refuse two stages of one name, or two that write one output).
#
# Versions: dvc 3.67.1, Python 3.11.
#
# What happens instead: a cell's name is its values joined with "-", and the
# values themselves may hold a "-", as model and data names like to ("vit" and
# "b-16", "vit-b" and "16"). Of two cells with one name the later replaces the
# earlier. `dvc stage list` shows three stages, `dvc repro` runs three, exits 0
# and says nothing of the fourth; its output is never written.
#
# Seen:
#   stage: fit@vit-b-16
#   stage: fit@vit-16
#   stage: fit@vit-b-b-16
#   dvc repro: exit code 0
#   not run: vit_on_b-16
#   ran:     vit_on_16
#   ran:     vit-b_on_b-16
#   ran:     vit-b_on_16
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
    matrix:
      model: [vit, vit-b]
      data: [b-16, "16"]
    cmd: echo done > ${item.model}_on_${item.data}.txt
    outs:
      - ${item.model}_on_${item.data}.txt
YAML

dvc stage list --name-only | sed 's/^/stage: /'
code=0
dvc repro -q || code=$?
echo "dvc repro: exit code $code"
missing=()
for cell in vit_on_b-16 vit_on_16 vit-b_on_b-16 vit-b_on_16; do
    if [ -e "$cell.txt" ]; then echo "ran:     $cell"; else echo "not run: $cell"; missing+=("$cell"); fi
done
[ "$code" -eq 0 ] && [ "${missing[*]}" = vit_on_b-16 ] || {
    echo "the behaviour changed" >&2
    exit 1
}
