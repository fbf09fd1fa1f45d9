"""Files of the user's that a run has read, and that have changed since: DVC watches none of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossgap.backbones import towers
from crossgap.params import Params
from crossgap.params.sections import Weights
from crossgap.planning.cells import cells
from crossgap.planning.resolve import digested

_REMEDY = "`dvc repro` alone would not see it: `dvc repro -f -s {stage}` reads it again, then `dvc repro`"


def changed(params: Params, data: Path) -> Iterator[str]:
    """A line for each file of weights, and each file that corrections are fitted on, that isn't what was read.

    All their bytes are read. Datasets' files are not looked at: `revision` in their rows says that they changed.
    """
    for name in params.run.backbones:
        if name in params.trained:
            continue
        row, read = params.backbones[name].weights, _read(data / "weights" / f"{name}.json")
        if (read.get("model"), read.get("pretrained")) != (row.model, row.pretrained) or not _there(row):
            continue
        held, before = towers.local_files(row.model, row.pretrained), read["files"]
        for named in sorted(held.keys() | before.keys()):
            if held.get(named) != before.get(named):
                yield f"backbones.{name}.weights: {named} changed since it was read: {_REMEDY.format(stage='weights')}"
    seen: dict[tuple[str, str], dict[str, str]] = {}
    for cell in cells(params):
        if cell.folder == "evaluate":
            for name, files in _read(data / "resolved" / cell.resolved).get("files", {}).items():
                seen |= {(name, modality): file for modality, file in files.items()}
    for (name, modality), file in seen.items():
        asked = params.evaluate.fit_on.files.get(name)
        if asked and asked.files.get(modality) == file["file"] and digested(file["file"]) != file:
            where = f"evaluate.fit_on.files.{name}.{modality}"
            yield f"{where}: {file['file']} changed since it was read: {_REMEDY.format(stage='resolve')}"


def _there(weights: Weights) -> bool:
    if weights.model.startswith(towers.LOCAL_DIR_PREFIX):
        return Path(weights.model.removeprefix(towers.LOCAL_DIR_PREFIX)).is_dir()
    return Path(weights.pretrained or "").is_file()  # no tag is


def _read(path: Path) -> dict[str, Any]:
    """Empty where a run hasn't come so far, or the file is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return {}
