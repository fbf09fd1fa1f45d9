"""Stores that another machine made: its processor and versions, where they are not this one's.

Features of another kind of processor, or of other versions, differ from what this machine would compute in their last
bits: a team takes a colleague's store by `dvc pull` rather than compute it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from crossgap.machine import processor


def elsewhere(provenance: Mapping[str, Any]) -> str:
    """The processor and the versions that made a store, those that differ here; empty where none does.

    A GPU's name counts as another processor where this machine has no such GPU.
    """
    found = []
    made_on = provenance.get("made_on")
    if made_on and made_on != processor() and made_on not in _gpus():
        found.append(str(made_on))
    backbone = provenance.get("backbone_provenance") or provenance.get("backbone")
    versions = backbone.get("versions") if isinstance(backbone, dict) else None
    for name, theirs in (versions or {}).items():
        if (ours := _installed(name)) != theirs:
            found.append(f"{name} {theirs} (here {ours or 'none'})")
    return ", ".join(found)


@cache
def _gpus() -> tuple[str, ...]:
    import torch

    return tuple(processor(f"cuda:{number}") for number in range(torch.cuda.device_count()))


@cache
def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
