#!/usr/bin/env bash
# polars: a model that ranks each match lower is better, query by query.
#
# A competent person would guess: the difference of two ranks is negative where the second
# is higher, as in pandas. The share of queries with a difference above 0, its median and
# its mean tell which of two models ranks the matches higher.
#
# Versions: polars 2.1.0, pandas 3.1.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: rank gives unsigned integers of 32 bits for every method but
# "average", and -1 is 4,294,967,295 in them. All queries that differ have a difference
# above 0, those that got worse as those that got better: whichever model is subtracted
# wins, on each of them, and a sign test has no doubt of it. Row numbers (with_row_index,
# arg_sort, arg_max) and counts (len, n_unique) are of this type, too. A mean or a plot
# would show it, the share of gains and a median that is small don't. Nothing is raised or
# warned of. With method="average", or once cast to Int64, it is right. (Known upstream for
# any unsigned column: issue 15415 of polars is open.)
#
# Seen, of the rank of the match among 20 images, of 1,000 texts by two models, the second
# of which has more noise. "Gains" are the texts whose match the second ranks higher:
#   polars, first - second:           gains 574 of 574 that differ, median 1
#   polars, cast to Int64:            gains 189 of 574 that differ, median 0
#   polars, method="average":         gains 189 of 574 that differ, median 0
#   pandas:                           gains 189 of 574 that differ, median 0
#   polars, models the other way:     gains 574 of 574 that differ, median 1
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check polars==2.1.0 pandas==3.1.1 numpy==2.4.6

cat > gains.py <<'PY'
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl

warnings.simplefilter("error")
texts, images, width = 1_000, 20, 16
random = np.random.default_rng(0)
gallery = random.normal(size=(texts, images, width))
scores = {}
for model, noise in (("first", 1.5), ("second", 2.0)):
    asked = gallery[:, 0] + noise * random.normal(size=(texts, width))
    scores[model] = np.einsum("tw,tiw->ti", asked, gallery).ravel()
rows = {"text": np.repeat(np.arange(texts), images), "image": np.tile(np.arange(images), texts), **scores}


def ranked(method):
    """The rank of each text's match, a column a model."""
    ranks = [pl.col(model).rank(method, descending=True).over("text") for model in scores]
    return pl.DataFrame(rows).with_columns(ranks).filter(pl.col("image") == 0)


ordinal = ranked("ordinal")
whole = ordinal.with_columns(pl.col("first", "second").cast(pl.Int64))
frame = pd.DataFrame(rows)
ranks = frame.groupby("text")[["first", "second"]].rank(method="first", ascending=False)[frame["image"] == 0]
seen = []
for name, gain in (
    ("polars, first - second:", ordinal["first"] - ordinal["second"]),
    ("polars, cast to Int64:", whole["first"] - whole["second"]),
    ('polars, method="average":', (average := ranked("average"))["first"] - average["second"]),
    ("pandas:", ranks["first"] - ranks["second"]),
    ("polars, models the other way:", ordinal["second"] - ordinal["first"]),
):
    gains, differ, median = int((gain > 0).sum()), int((gain != 0).sum()), int(gain.median())
    seen.append((gains, differ, median))
    print(f"{name:<33} gains {gains} of {differ} that differ, median {median}")
wrong, cast, average, pandas, turned = seen
same = cast == average == pandas
if not (same and wrong[0] == turned[0] == wrong[1] == cast[1] and cast[0] < 0.4 * cast[1]):
    sys.exit("the behaviour changed")
PY
venv/bin/python gains.py
