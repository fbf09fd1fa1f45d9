#!/usr/bin/env bash
# faiss: two clusters of 100,000 rows are made of 512 of them.
#
# A competent person would guess: Kmeans(width, 2).train(rows) clusters the rows: the
# centres are the means of all rows that are nearest to them, and the last number in
# obj is the sum of the squared distances, to be compared between numbers of clusters.
#
# Versions: faiss-cpu 1.15.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: of more than 256 rows a cluster, a random sample of so many is
# clustered, and obj is the sum over the sample. Of images and texts in two clusters
# 512 rows count, however many there are; more clusters take more rows, and obj grows
# with each, where the sum gets smaller. Nothing is said of it (unless verbose=True),
# while of too few rows there is a warning. max_points_per_centroid lifts the limit.
#
# Seen, of 100,000 rows in two groups, and in how many rows the sum would be obj:
#   2 clusters: obj 33,031, sum over all rows 6,417,437; obj is of 515 rows
#   4 clusters: obj 64,407, sum over all rows 6,352,889; obj is of 1,014 rows
#   2 clusters, max_points_per_centroid=50000: obj 6,396,540, sum over all rows 6,396,555; obj is of 100,000 rows
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6

cat > clusters.py <<'PY'
import sys
import warnings

import faiss
import numpy as np

warnings.simplefilter("error")
half, width = 50_000, 64
rows = np.random.default_rng(0).standard_normal((2 * half, width)).astype("float32")
rows[half:] += 1  # the second group lies 8 away from the first
seen = []
for clusters, settings in ((2, {}), (4, {}), (2, {"max_points_per_centroid": half})):
    kmeans = faiss.Kmeans(width, clusters, **settings)
    kmeans.train(rows)
    everything = kmeans.index.search(rows, 1)[0].sum(dtype="float64")
    counted = len(rows) * kmeans.obj[-1] / everything
    seen.append(counted)
    where = ", ".join([f"{clusters} clusters", *(f"{key}={value}" for key, value in settings.items())])
    print(f"{where}: obj {kmeans.obj[-1]:,.0f}, sum over all rows {everything:,.0f}; obj is of {counted:,.0f} rows")
if not np.allclose(seen, [2 * 256, 4 * 256, len(rows)], rtol=0.1):
    sys.exit("the behaviour changed")
PY
venv/bin/python clusters.py
