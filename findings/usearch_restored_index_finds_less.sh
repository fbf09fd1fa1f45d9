#!/usr/bin/env bash
# usearch: an index that finds 97% of the neighbours finds half of them once it is restored.
#
# A competent person would guess: an index that was built, measured and saved gives the same
# neighbours wherever it is read. Index.restore takes no settings but the file, from which it
# has the width, the metric and the type; how far a search goes was set in the index, too.
#
# Versions: usearch 2.26.6, numpy 2.4.6, Python 3.11.
#
# What happens instead: the file lacks expansion_search and expansion_add. Index.restore, with
# view=True as well, sets them to 64 and 128, whatever they were, and a colleague who restores
# the index that was measured has half of the neighbours, in the time that a poor index takes.
# Rows that are added there are linked by the lower setting. Nothing is raised or warned of.
# load() into an index that was made with the settings, and copy(), keep them; so does
# Index.restore(path, expansion_search=512), of which the documentation says nothing.
#
# Seen, of the 10 nearest of 20,000 rows to 500 others, the share that is found:
#   built and measured:                 expansion_search 512, found 0.97
#   load() into an index like it:       expansion_search 512, found 0.97
#   Index.restore(path):                expansion_search  64, found 0.51
#   Index.restore(path, view=True):     expansion_search  64, found 0.51
#   Index.restore(path, expansion_...): expansion_search 512, found 0.97
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check usearch==2.26.6 numpy==2.4.6

cat > restored.py <<'PY'
import sys
import warnings

import numpy as np
from usearch.index import Index

warnings.simplefilter("error")
random = np.random.default_rng(0)
rows, asked = (random.standard_normal((number, 128)).astype("float32") for number in (20_000, 500))
unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
nearest = np.argsort(-asked @ unit.T, axis=1)[:, :10]
made = {"ndim": 128, "metric": "cos", "dtype": "f32", "expansion_add": 256, "expansion_search": 512}


def found(index):
    """The share of the 10 nearest rows that the index gives."""
    keys = index.search(asked, 10).keys
    return float(np.mean([len(set(got) & set(right)) / 10 for got, right in zip(keys, nearest, strict=True)]))


built = Index(**made)
built.add(np.arange(len(rows)), rows)
built.save("index.usearch")
loaded = Index(**made)
loaded.load("index.usearch")
seen = []
for name, index in (
    ("built and measured:", built),
    ("load() into an index like it:", loaded),
    ("Index.restore(path):", Index.restore("index.usearch")),
    ("Index.restore(path, view=True):", Index.restore("index.usearch", view=True)),
    ("Index.restore(path, expansion_...):", Index.restore("index.usearch", expansion_search=512)),
):
    seen.append((index.expansion_search, found(index)))
    print(f"{name:<35} expansion_search {seen[-1][0]:>3}, found {seen[-1][1]:.2f}")
kept, lost = [seen[0], seen[1], seen[4]], [seen[2], seen[3]]
right = all(setting == 512 and share > 0.94 for setting, share in kept)
if not right or any(setting != 64 or share > 0.6 for setting, share in lost):
    sys.exit("the behaviour changed")
PY
venv/bin/python restored.py
