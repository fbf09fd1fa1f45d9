"""Files of the user's that a run has read, and that have changed since: DVC watches none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossgap import fingerprint
from crossgap.params import Params
from crossgap.planning.cells import cells
from crossgap.planning.resolve import architecture_files, digested, weights_files
from crossgap.planning.written import read

HEADING = "files changed since a run read them, which `dvc repro` alone doesn't see:"


def said(params: Params, data: Path) -> str:
    """The heading and `changed`; empty where nothing did."""
    lines = list(changed(params, data))
    return "\n  ".join([HEADING, *lines]) if lines else ""


def changed(params: Params, data: Path) -> Iterator[str]:
    """A line, with the remedy, for each file of weights or of an architecture, and each that corrections are fitted on,
    that isn't what was read.

    All their bytes are read. Datasets' files are not looked at: `revision` in their rows says that they changed.
    """
    for name in params.run.backbones:
        if name not in params.trained:
            row = read(data / "weights" / f"{name}.json") or {}
            for file in _other(params, name, row, row.get("files", {})):
                yield f"backbones.{name}.weights: {file}: {fingerprint.read_again('weights')}"
    seen: dict[tuple[str, str], dict[str, str]] = {}
    for cell in cells(params):
        held = read(data / "resolved" / cell.resolved) or {}
        if cell.stage == "finetune":
            name = params.finetune[cell.words[0]].backbone
            for file in _other(params, name, held.get("weights", {}), held.get("files", {})):
                yield f"finetune.{cell.words[0]}.backbone: {file} of {name}: {fingerprint.read_again('resolve')}"
        if cell.stage == "idealised":
            files = architecture_files(params.idealised[cell.words[0]].architecture)
            for file in fingerprint.differing(files, held.get("files", files)):
                yield f"idealised.{cell.words[0]}.architecture: {file}: {fingerprint.read_again('resolve')}"
        if cell.folder == "evaluate":
            for name, files in held.get("files", {}).items():
                seen |= {(name, modality): file for modality, file in files.items()}
    for (name, modality), given in seen.items():
        asked = params.evaluate.fit_on.files.get(name)
        if asked and asked.files.get(modality) == given["file"] and digested(given["file"]) != given:
            yield f"evaluate.fit_on.files.{name}.{modality}: {given['file']}: {fingerprint.read_again('resolve')}"


def _other(params: Params, backbone: str, row: Mapping[str, Any], before: Mapping[str, str]) -> list[str]:
    """Files of a backbone's weights that are others than before; none where its row is, or where there are none."""
    asked, held = params.backbones[backbone].weights, weights_files(params, backbone)
    if not held or (row.get("model"), row.get("pretrained")) != (asked.model, asked.pretrained):
        return []
    return fingerprint.differing(held, before)
