#!/usr/bin/env bash
# BEIR: a perfect ranking scores 0, because queries and documents share names.
#
# A competent person would guess: EvaluateRetrieval.evaluate hands judgements and
# results to trec_eval and averages. Names tell queries from queries and documents
# from documents; calling pair number 7 "7" on both sides, as in image-text
# retrieval, is as good as any.
#
# Versions: beir 2.2.0, pytrec_eval-terrier 0.5.11, Python 3.11.
#
# What happens instead: a document that has the query's name is taken for the query
# itself (as is right for Quora and ArguAna) and is taken out of the results before
# they are scored. Where names are row numbers, that is each query's match: every
# measure is 0. Where they agree by chance for some, those alone are misses. The
# results that were passed in are changed as well, so that a second evaluation, by
# whatever tool, is wrong too. Only a line in the log, of level INFO, tells.
#
# Seen, of 4 queries with their match in front:
#   documents d0 to d3: Recall@1 1.00, results of a query 4 before, 4 after
#   documents 0 to 3:   Recall@1 0.00, results of a query 4 before, 3 after
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
# what the evaluation imports, without the models' packages
venv/bin/pip install -q --disable-pip-version-check --no-deps beir==2.2.0 pytrec_eval-terrier==0.5.11 \
    numpy==2.4.6 tqdm==4.70.1

cat > names.py <<'PY'
import sys
import warnings

from beir.retrieval.evaluation import EvaluateRetrieval

warnings.simplefilter("error")
seen = []
for title, name in (("documents d0 to d3:", "d{}".format), ("documents 0 to 3:", str)):
    judged = {str(query): {name(query): 1} for query in range(4)}
    results = {str(query): {name(other): 1.0 if other == query else 0.5 for other in range(4)} for query in range(4)}
    before = {len(documents) for documents in results.values()}
    _, _, recall, _ = EvaluateRetrieval.evaluate(judged, results, [1])
    after = {len(documents) for documents in results.values()}
    seen.append((recall["Recall@1"], before, after))
    print(f"{title:<19} Recall@1 {recall['Recall@1']:.2f}, results of a query {max(before)} before, {max(after)} after")
if seen != [(1.0, {4}, {4}), (0.0, {4}, {3})]:
    sys.exit("the behaviour changed")
PY
venv/bin/python names.py
