#!/usr/bin/env bash
# Hugging Face datasets: what the sixth sample of a tar has for the first time is lost.
#
# A competent person would guess: load_dataset("webdataset") reads what is in the
# tar files. Samples with unlike files are refused, as its message has it ("the
# files in the archive don't share the same prefix or the same types").
#
# Versions: datasets 5.2.0, Python 3.11.
#
# What happens instead: only the first five samples of the first tar are looked at.
# Their columns, and the fields of their JSON files, are those of the dataset, and
# what comes up later is left out of all rows: second captions, scores of a filter,
# boxes that the first images happened not to have. Nothing is raised or warned of,
# the number of rows is right, and the same files one sample earlier are an error.
#
# Seen, of 10 samples with a caption each, a second file or field from one of them on:
#   second.txt from sample 5: ValueError
#   second.txt from sample 6: 10 rows, columns json txt, second captions 0 of 5
#   score in json from sample 5: 10 rows, columns json txt, scores 6 of 6
#   score in json from sample 6: 10 rows, columns json txt, scores 0 of 5
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
export HF_HOME="$tmp/hub" HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > samples.py <<'PY'
import io
import json
import sys
import tarfile
import warnings

import datasets

warnings.simplefilter("error")
datasets.disable_progress_bars()


def written(path, since, second):
    """A tar of 10 samples; from number `since` on, each has a second caption, or a score in its JSON."""
    with tarfile.open(path, "w") as tar:
        for number in range(1, 11):
            about = {"width": number} | ({"score": number / 10} if not second and number >= since else {})
            files = {"json": json.dumps(about), "txt": f"caption {number}"}
            if second and number >= since:
                files["second.txt"] = f"second caption {number}"
            for extension, text in files.items():
                entry = tarfile.TarInfo(f"{number:04d}.{extension}")
                entry.size = len(text)
                tar.addfile(entry, io.BytesIO(text.encode()))


seen = []
for second in (True, False):
    for since in (5, 6):
        path = f"{'caption' if second else 'score'}-{since}.tar"
        written(path, since, second)
        where = f"{'second.txt' if second else 'score in json'} from sample {since}:"
        try:
            rows = datasets.load_dataset("webdataset", data_files=path, split="train")
        except ValueError as error:
            seen.append(type(error).__name__)
            print(where, seen[-1])
            continue
        columns = sorted(name for name in rows.column_names if not name.startswith("__"))
        found = [row.get("second.txt") if second else row["json"].get("score") for row in rows]
        seen.append((len(rows), " ".join(columns), sum(value is not None for value in found)))
        what = "second captions" if second else "scores"
        print(f"{where} {len(rows)} rows, columns {seen[-1][1]}, {what} {seen[-1][2]} of {11 - since}")
if seen != ["ValueError", (10, "json txt", 0), (10, "json txt", 6), (10, "json txt", 0)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python samples.py
