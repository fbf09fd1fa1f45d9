"""Whether the files of a backbone, or of an architecture, are those that a run has read.

DVC keeps what is made of them by what is noted: it would hand out results of other files for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossgap import fingerprint
from crossgap.backbones import towers
from crossgap.errors import BackboneError


def require_noted(backbone: str, row: Mapping[str, Any], files: Mapping[str, str], stage: str) -> None:
    """Check that a backbone's files of weights are those that a stage noted.

    Raises:
        BackboneError: a file was changed, added or taken away since.
    """
    if not files:  # a published name's
        return
    try:
        held = towers.local_files(row["model"], row["pretrained"])
    except (FileNotFoundError, NotADirectoryError):
        return  # the folder is gone, which loading says
    _require(f"backbones.{backbone}.weights", held, files, stage)


def require_noted_architecture(experiment: str, architecture: str, files: Mapping[str, str]) -> None:
    """Check that the configuration of an idealised experiment's encoders is the one that `resolve` noted.

    Raises:
        BackboneError: it was changed, added or taken away since.
    """
    held = towers.architecture_files(architecture)
    _require(f"idealised.{experiment}.architecture", held, files, "resolve")


def _require(field: str, held: Mapping[str, str], noted: Mapping[str, str], stage: str) -> None:
    if others := fingerprint.differing(held, noted):
        raise BackboneError(
            f"{field}: {', '.join(others)}: changed since a run read it: {fingerprint.read_again(stage)}"
        )
