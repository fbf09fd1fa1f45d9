#!/usr/bin/env bash
# DVC: of a data folder whose images are a link to a shared disk, no image is looked at.
#
# A competent person would guess: DVC follows links. A dependency that is a link to a folder
# has the hash of what it leads to, and a linked file within a folder that of its content.
# So a folder with a file of captions and a link to the folder of images, which are too many
# to be copied, has the images in its hash. Where that can't be, DVC says so.
#
# Versions: dvc 3.67.1, Python 3.11.
#
# What happens instead: a link to a folder within a folder is left out, without a word. As a
# dependency, the stage doesn't run again when images are added, replaced or taken away; of
# data/captions.txt and data/images it knows the captions alone. As an output, the folder
# that is linked isn't in the cache nor pushed: `dvc checkout` gives the folder without it,
# calls it up to date, and the features made of it next have fewer rows. `dvc status`
# reports nothing either way. With the link itself as the dependency, all is seen.
#
# Seen, after an image on the shared disk was replaced:
#   data (images is a link to a folder): nfiles 1 in dvc.lock; the stage runs again: no
#   data/images (the link itself):       nfiles 1 in dvc.lock; the stage runs again: yes
#   data (each image is a link):         nfiles 2 in dvc.lock; the stage runs again: yes
#   dvc add data, and dvc checkout: data has captions.txt; dvc status: Data and pipelines are up to date.
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

try() { # NAME LINK DEPENDENCY: what is linked (folder or files), what the stage depends on
    mkdir -p "disk-$1" "$1/data"
    echo cat > "disk-$1/0.jpg"
    cd "$1"
    git init -q
    dvc init -q
    echo "0.jpg,a cat" > data/captions.txt
    if [ "$2" = folder ]; then
        ln -s "$tmp/disk-$1" data/images
    else
        mkdir data/images
        ln -s "$tmp/disk-$1/0.jpg" data/images/0.jpg
    fi
    cat > dvc.yaml <<YAML
stages:
  encode:
    cmd: cat data/images/*.jpg > features.txt
    deps: [$3]
    outs: [features.txt]
YAML
    dvc repro -q
    files=$(sed -n 's/.*nfiles: //p' dvc.lock)
    echo dog > "$tmp/disk-$1/0.jpg"
    dvc repro -q
    ran=no
    if [ "$(cat features.txt)" = dog ]; then ran=yes; fi
    cd "$tmp"
    seen="$files $ran"
}

try folder folder data
folder=$seen
echo "data (images is a link to a folder): nfiles $files in dvc.lock; the stage runs again: $ran"
try link folder data/images
link=$seen
echo "data/images (the link itself):       nfiles $files in dvc.lock; the stage runs again: $ran"
try files files data
files_=$seen
echo "data (each image is a link):         nfiles $files in dvc.lock; the stage runs again: $ran"

# The same folder as an output: what comes back from the cache?
cd folder
dvc add -q data
rm data/images data/captions.txt
rmdir data
dvc checkout -q
kept=$(ls data)
state=$(dvc status data.dvc)
echo "dvc add data, and dvc checkout: data has $kept; dvc status: $state"
[ "$folder" = "1 no" ] && [ "$link" = "1 yes" ] && [ "$files_" = "2 yes" ] &&
    [ "$kept" = captions.txt ] && [ "$state" = "Data and pipelines are up to date." ] || {
    echo "the behaviour changed" >&2
    exit 1
}
