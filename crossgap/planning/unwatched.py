"""Files of the user's that a run has read, and that have changed since: DVC watches none of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossgap.params import Params
from crossgap.planning.cells import cells
from crossgap.planning.resolve import digested, weights_files

HEADING = "files changed since a run read them, which `dvc repro` alone doesn't see:"


def changed(params: Params, data: Path) -> Iterator[str]:
    """A line, with the remedy, for each file of weights, and each that corrections are fitted on, that isn't what was
    read.

    All their bytes are read. Datasets' files are not looked at: `revision` in their rows says that they changed.
    """
    for name in params.run.backbones:
        if name not in params.trained:
            read = _read(data / "weights" / f"{name}.json")
            for file in _other(params, name, read, read.get("files", {})):
                yield f"backbones.{name}.weights: {file}: {_remedy('weights')}"
    seen: dict[tuple[str, str], dict[str, str]] = {}
    for cell in cells(params):
        read = _read(data / "resolved" / cell.resolved)
        if cell.stage == "finetune":
            name = params.finetune[cell.words[0]].backbone
            for file in _other(params, name, read.get("weights", {}), read.get("files", {})):
                yield f"finetune.{cell.words[0]}.backbone: {file} of {name}: {_remedy('resolve')}"
        if cell.folder == "evaluate":
            for name, files in read.get("files", {}).items():
                seen |= {(name, modality): file for modality, file in files.items()}
    for (name, modality), held in seen.items():
        asked = params.evaluate.fit_on.files.get(name)
        if asked and asked.files.get(modality) == held["file"] and digested(held["file"]) != held:
            yield f"evaluate.fit_on.files.{name}.{modality}: {held['file']}: {_remedy('resolve')}"


def _remedy(stage: str) -> str:
    return f"`dvc repro -f -s {stage}` reads it again, then `dvc repro`"


def _other(params: Params, backbone: str, row: Mapping[str, Any], before: Mapping[str, str]) -> list[str]:
    """Files of a backbone's weights that are others than before; none where its row is, or where there are none."""
    asked, held = params.backbones[backbone].weights, weights_files(params, backbone)
    if not held or (row.get("model"), row.get("pretrained")) != (asked.model, asked.pretrained):
        return []
    return sorted(file for file in held.keys() | before.keys() if held.get(file) != before.get(file))


def _read(path: Path) -> dict[str, Any]:
    """Empty where a run hasn't come so far, or the file is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return {}
