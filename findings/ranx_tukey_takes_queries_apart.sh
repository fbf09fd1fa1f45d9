#!/usr/bin/env bash
# ranx: a model that is never worse, on 500 queries, is not better by Tukey's test.
#
# A competent person would guess: compare tests two runs on the same queries by pairs, with
# stat_test="tukey" as with "student" and "fisher", and Tukey's test is the one for more than
# two runs: it asks for a little more, as there are more pairs. In retrieval it goes with an
# analysis of variance by run and by query, as queries differ far more than runs do.
#
# Versions: ranx 0.3.21, scipy 1.17.1, numba 0.68.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: it is scipy's tukey_hsd, which is for independent samples: each run
# is taken to have other queries. What queries differ by counts as noise, and as that is most
# of all differences, nothing is significant. Between two runs it is the t test that isn't
# paired. A table by "student" has the marks and the same table by "tukey" has none; its
# wins and losses, 159 and 0, are of the same queries. Nothing is raised or warned of, and
# the documentation calls it Tukey's HSD test. With each query's mean taken out of the scores
# before, the marks are there.
#
# Seen, of three runs, whose second ranks the match of a third of the queries one place higher
# and whose third ranks none higher:
#   "student":                            p of a and b 3e-09, significant True
#   "fisher":                             p of a and b 0e+00, significant True
#   "tukey":                              p of a and b 5e-01, significant False
#   tukey_hsd without the queries' means: p of a and b 0e+00, significant True
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check ranx==0.3.21 scipy==1.17.1 numba==0.68.1 numpy==2.4.6

cat > tukey.py <<'PY'
import sys

import numpy as np
from ranx import Qrels, Run, compare
from scipy.stats import tukey_hsd

random = np.random.default_rng(0)
queries, images, limit = 500, 40, 0.01
ranks = np.exp(random.uniform(0, np.log(images), queries)).astype(int)
higher = (random.random(queries) < 0.4) & (ranks > 1)
ranks_of = {"a": ranks, "b": ranks - higher, "c": ranks}


def run_of(name):
    """A run in which each query's match has its rank."""
    found = {}
    for query, rank in enumerate(ranks_of[name]):
        names = [f"other{place}" for place in range(images - 1)]
        names.insert(rank - 1, "match")
        found[f"query{query}"] = {image: float(images - place) for place, image in enumerate(names)}
    return Run(found, name=name)


judgements = Qrels({f"query{query}": {"match": 1} for query in range(queries)})
runs = [run_of(name) for name in ranks_of]
seen = {}
for test in ("student", "fisher", "tukey"):
    report = compare(judgements, runs, ["mrr"], stat_test=test, max_p=limit)
    result = report.comparisons[frozenset("ab")]["mrr"]
    seen[f'"{test}":'] = (float(result["p_value"]), bool(result["significant"]))
gains = report.win_tie_loss["b", "a"]["mrr"]
scores = np.array([1 / ranks for ranks in ranks_of.values()])
without = float(tukey_hsd(*(scores - scores.mean(axis=0))).pvalue[0, 1])
seen["tukey_hsd without the queries' means:"] = (without, without <= limit)
for name, (chance, significant) in seen.items():
    print(f"{name:<37} p of a and b {chance:.0e}, significant {significant}")
print(f"wins of b over a {gains['W']}, losses {gains['L']}")
if [significant for _, significant in seen.values()] != [True, True, False, True] or gains["L"] or gains["W"] < 100:
    sys.exit("the behaviour changed")
PY
venv/bin/python tukey.py
