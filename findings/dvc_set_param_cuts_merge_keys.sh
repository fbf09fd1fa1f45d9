#!/usr/bin/env bash
# DVC: `dvc exp run -S` on one parameter cuts YAML merge keys for all others.
#
# A competent person would guess: `-S seed=2` changes the line of seed in
# params.yaml. DVC keeps comments and anchors there, so a section that takes
# its defaults with `<<: *base` goes on taking them from base.
#
# Versions: dvc 3.67.1, ruamel.yaml 0.19.1, Python 3.11.
#
# What happens instead: the file keeps "&base" and "<<: *base" and looks as if
# it still inherited, but every inherited key is also written out beside it,
# and such a key wins over a merged one. From then on an edit of base no
# longer reaches the section. (Before, the same edit reaches both.)
#
# Seen:
#   -seed: 1
#   +  lr: 0.1
#   +  epochs: 5
#   +seed: 2
#   lines added to section large by -S seed=2: 2
#   large.lr after base.lr is edited to 0.5: 0.5 without exp run -S, 0.1 after it
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
cat > params.yaml <<'YAML'
# defaults
base: &base
  lr: 0.1
  epochs: 5
large:
  <<: *base
  depth: 4
seed: 1
YAML
cat > dvc.yaml <<'YAML'
stages:
  fit:
    cmd: cp params.yaml result.yaml
    params: [seed]
    outs: [result.yaml]
YAML
git add -A
git commit -qm start

edit() { sed -i '/^base/,/^large/s/lr: 0.1/lr: 0.5/' params.yaml; }
rate() { python -c 'import ruamel.yaml as y; print(y.YAML(typ="safe").load(open("params.yaml"))["large"]["lr"])'; }
edit
before=$(rate)
git checkout -q params.yaml
dvc exp run -q -S seed=2
added=$(git diff --unified=0 params.yaml | grep -c '^+ ' || true)
git diff --unified=0 params.yaml | grep '^[-+] *[a-z<]' || true
grep -q '<<: \*base' params.yaml
edit
after=$(rate)
echo "lines added to section large by -S seed=2: $added"
echo "large.lr after base.lr is edited to 0.5: $before without exp run -S, $after after it"
[ "$added" -eq 2 ] && [ "$before" = 0.5 ] && [ "$after" = 0.1 ] || {
    echo "the behaviour changed" >&2
    exit 1
}
