#!/usr/bin/env bash
# Hugging Face datasets: map gives the old result after its function changed.
#
# A competent person would guess: Dataset.map keeps its results by a hash of
# the function, so that an edit of the function computes them again, as it does
# for one that stands in the script itself.
#
# Versions: datasets 5.2.0, dill 0.4.1, Python 3.11.
#
# What happens instead: a function that is imported from another file is hashed
# by its module's name and its own; its code is not looked at. Move a function
# from the script to a module, edit it there, and every run says nothing and
# returns what the first version made.
#
# Seen:
#   in the script: x + 1 gives 2, edited to x + 100 gives 101
#   in a module:   x + 1 gives 2, edited to x + 100 gives 2
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check datasets==5.2.0 dill==0.4.1
export HF_HOME="$tmp/hub" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 PYTHONDONTWRITEBYTECODE=1

echo '{"x": 1}' > rows.jsonl
cat > run.py <<'PY'
import datasets

datasets.disable_progress_bars()
rows = datasets.load_dataset("json", data_files="rows.jsonl", split="train")
print(rows.map(add)["x"][0])
PY
mkdir script module
cp rows.jsonl script
cp rows.jsonl module
cp run.py module/main.py
sed -i '1i from feature import add' module/main.py
in_script() { { echo "def add(row): return {'x': row['x'] + $1}"; cat run.py; } > script/main.py; (cd script && ../venv/bin/python main.py 2>/dev/null); }
in_module() { echo "def add(row): return {'x': row['x'] + $1}" > module/feature.py; (cd module && ../venv/bin/python main.py 2>/dev/null); }
first=$(in_script 1)
second=$(in_script 100)
echo "in the script: x + 1 gives $first, edited to x + 100 gives $second"
third=$(in_module 1)
fourth=$(in_module 100)
echo "in a module:   x + 1 gives $third, edited to x + 100 gives $fourth"
[ "$first $second $third $fourth" = "2 101 2 2" ] || {
    echo "the behaviour changed" >&2
    exit 1
}
