"""Whether a backbone's files are those that a run has read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossgap import fingerprint
from crossgap.backbones import towers
from crossgap.errors import BackboneError


def require_noted(backbone: str, row: Mapping[str, Any], files: Mapping[str, str], stage: str) -> None:
    """Check that a backbone's files of weights are those that a stage noted.

    DVC keeps what is made of them by what is noted: it would hand out results of other weights for good.

    Raises:
        BackboneError: a file was changed, added or taken away since.
    """
    if not files:  # a published name's
        return
    try:
        held = towers.local_files(row["model"], row["pretrained"])
    except (FileNotFoundError, NotADirectoryError):
        return  # the folder is gone, which loading says
    if others := fingerprint.differing(held, files):
        raise BackboneError(
            f"backbones.{backbone}.weights: {', '.join(others)}: changed since a run read it: "
            f"{fingerprint.read_again(stage)}"
        )
