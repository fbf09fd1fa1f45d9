#!/usr/bin/env bash
# BEIR: nDCG, MAP and recall leave out queries that found nothing, MRR counts them.
#
# A competent person would guess: EvaluateRetrieval averages over the queries that have
# judgements. One without results has found nothing, and is 0 in each measure. All
# measures that the class has are of the same queries.
#
# Versions: beir 2.2.0, pytrec_eval-terrier 0.5.11, Python 3.11.
#
# What happens instead: evaluate averages over the queries that have results, and
# evaluate_custom (MRR, accuracy, capped recall) over those that have judgements. A run
# that lost a shard of its queries, an index that stops looking, or a threshold for
# cosines scores like one that answered all of them, or better, as the hard ones go first.
# In one table, MRR falls and nDCG rises. Nothing is raised or warned of. A query with an
# empty dict of results is counted. (Known of trec_eval, whose option -c would count them;
# pytrec_eval has none, see its issue 30.)
#
# Seen, of four queries, two of which find their document first:
#   all four have results:        nDCG@10 0.50, MAP@10 0.50, recall@10 0.50, MRR@10 0.50, accuracy@10 0.50
#   the two that fail have none:  nDCG@10 1.00, MAP@10 1.00, recall@10 1.00, MRR@10 0.50, accuracy@10 0.50
#   the two that fail have empty: nDCG@10 0.50, MAP@10 0.50, recall@10 0.50, MRR@10 0.50, accuracy@10 0.50
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
# what the evaluation imports, without the models' packages
venv/bin/pip install -q --disable-pip-version-check --no-deps beir==2.2.0 pytrec_eval-terrier==0.5.11 \
    numpy==2.4.6 tqdm==4.70.1

cat > answers.py <<'PY'
import sys
import warnings

from beir.retrieval.evaluation import EvaluateRetrieval

warnings.simplefilter("error")
judgements = {f"text{query}": {f"image{query}": 1} for query in range(4)}
found = {f"text{query}": {f"image{query}": 0.9, "another": 0.1} for query in (0, 1)}
missed = {f"text{query}": {"another": 0.1} for query in (2, 3)}


def scored(results):
    ndcg, average, recall, _ = EvaluateRetrieval.evaluate(judgements, results, [10])
    rank = EvaluateRetrieval.evaluate_custom(judgements, results, [10], metric="mrr")
    accuracy = EvaluateRetrieval.evaluate_custom(judgements, results, [10], metric="top_k_accuracy")
    return [ndcg["NDCG@10"], average["MAP@10"], recall["Recall@10"], rank["MRR@10"], accuracy["Accuracy@10"]]


seen = []
for what, results in (
    ("all four have results:", found | missed),
    ("the two that fail have none:", found),
    ("the two that fail have empty:", found | {query: {} for query in missed}),
):
    seen.append(scored(results))
    names = ("nDCG@10", "MAP@10", "recall@10", "MRR@10", "accuracy@10")
    print(f"{what:<29}", ", ".join(f"{name} {value:.2f}" for name, value in zip(names, seen[-1], strict=True)))
if seen != [[0.5] * 5, [1.0, 1.0, 1.0, 0.5, 0.5], [0.5] * 5]:
    sys.exit("the behaviour changed")
PY
venv/bin/python answers.py
