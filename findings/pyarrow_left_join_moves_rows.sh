#!/usr/bin/env bash
# pyarrow: a left join puts the rows that have no match last.
#
# A competent person would guess: a left join keeps the rows of the left table and
# their order, as pandas' merge does. So labels can be joined to the table of ids
# whose features lie in an array of the same order.
#
# Versions: pyarrow 26.0.1, pandas 3.1.1, Python 3.11.
#
# What happens instead: Table.join gives first the rows that have a match, then
# those that have none, with and without threads. One id without a label moves all
# rows after it up by one: the column fits the features in length and not in order,
# and from that row on each label is that of its neighbour. Tables whose ids all
# match keep their order, so that a trial on complete data does not show it.
#
# Seen:
#   left table:                a b c d e
#   joined, all have a label:  a b c d e
#   joined, b has no label:    a c d e b
#   the same without threads:  a c d e b
#   pandas, b has no label:    a b c d e
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6

cat > joins.py <<'PY'
import sys
import warnings

import pyarrow as pa

warnings.simplefilter("error")
images = pa.table({"id": list("abcde")})
labels = pa.table({"id": list("abcde"), "label": [0, 1, 2, 3, 4]})
some = labels.take([0, 2, 3, 4])
merged = images.to_pandas().merge(some.to_pandas(), on="id", how="left")
seen = {
    "left table:": images["id"].to_pylist(),
    "joined, all have a label:": images.join(labels, "id", join_type="left outer")["id"].to_pylist(),
    "joined, b has no label:": images.join(some, "id", join_type="left outer")["id"].to_pylist(),
    "the same without threads:": images.join(some, "id", join_type="left outer", use_threads=False)["id"].to_pylist(),
    "pandas, b has no label:": merged["id"].tolist(),
}
for what, ids in seen.items():
    print(f"{what:<26}", *ids)
if ["".join(ids) for ids in seen.values()] != ["abcde", "abcde", "acdeb", "acdeb", "abcde"]:
    sys.exit("the behaviour changed")
PY
venv/bin/python joins.py
