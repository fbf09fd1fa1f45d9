#!/usr/bin/env bash
# DuckDB: one image whose features are zeros is the best match of every text.
#
# A competent person would guess: an image that could not be read, and whose row was left at
# zeros, has a cosine of 0 or NaN with any text. Of 300 images it is one that no text
# finds. The order by similarity and the order by distance are the same one, turned round.
#
# Versions: duckdb 2.0.1, numpy 2.4.6, Python 3.11.
#
# What happens instead: array_cosine_similarity of a row of zeros is NaN, and to DuckDB NaN
# is greater than any number. In descending order it is first, for each text; in ascending
# order of array_cosine_distance it is last. max_by(image, similarity) gives it, and WHERE
# similarity > 0.9, which looks for copies of an image, gives it for all images. Recall at 1
# is 0, as if the model were broken. Nothing is raised or warned of. A row that holds a NaN
# does the same. array_inner_product of rows of length one has no such match. (That NaN is
# the greatest number is documented; that zeros have NaN, and nothing of what follows.)
#
# Seen, of 300 texts and their images, 1 of which is zeros; "copies" are pairs of images with
# a similarity above 0.9:
#   order by similarity, descending: right first   0, zeros first 300
#   max_by(image, similarity):       right first   0, zeros first 300
#   order by distance:               right first 299, zeros first   0
#   order by inner product:          right first 299, zeros first   0
#   copies: 299, of which with zeros: 299
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check duckdb==2.0.1 numpy==2.4.6

cat > empty.py <<'PY'
import sys
import warnings

import duckdb
import numpy as np

warnings.simplefilter("error")
pairs, width, empty = 300, 64, 7
random = np.random.default_rng(0)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("float32")


images = unit(random.standard_normal((pairs, width)))
texts = unit(images + 0.05 * random.standard_normal(images.shape))
images[empty] = 0
base = duckdb.connect()
for name, rows in (("images", images), ("texts", texts)):
    made = f"CREATE TABLE {name} AS SELECT unnest(range({pairs})) AS id, unnest($1::FLOAT[{width}][]) AS row"
    base.execute(made, [rows.tolist()])
base.execute("""
    CREATE TABLE scores AS SELECT texts.id AS text, images.id AS image,
        array_cosine_similarity(texts.row, images.row) AS similarity,
        array_cosine_distance(texts.row, images.row) AS distance,
        array_inner_product(texts.row, images.row) AS product
    FROM texts, images
""")
first = "SELECT text, image FROM scores QUALIFY row_number() OVER (PARTITION BY text ORDER BY {}) = 1"
seen = []
for name, query in (
    ("order by similarity, descending:", first.format("similarity DESC")),
    ("max_by(image, similarity):", "SELECT text, max_by(image, similarity) FROM scores GROUP BY text"),
    ("order by distance:", first.format("distance")),
    ("order by inner product:", first.format("product DESC")),
):
    got = dict(base.sql(query).fetchall())
    right = sum(got[text] == text for text in got if text != empty)
    seen.append((right, sum(image == empty for image in got.values())))
    print(f"{name:<32} right first {seen[-1][0]:>3}, zeros first {seen[-1][1]:>3}")
copies = base.sql("""
    SELECT one.id, other.id FROM images AS one, images AS other
    WHERE one.id < other.id AND array_cosine_similarity(one.row, other.row) > 0.9
""").fetchall()
with_empty = sum(empty in pair for pair in copies)
print(f"copies: {len(copies)}, of which with zeros: {with_empty}")
if seen != [(0, pairs)] * 2 + [(pairs - 1, 0)] * 2 or len(copies) != with_empty or with_empty != pairs - 1:
    sys.exit("the behaviour changed")
PY
venv/bin/python empty.py
