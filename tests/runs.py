"""The section `run` of a params.yaml."""

from __future__ import annotations


def run_of(**lists: object) -> dict:
    """With these lists and no inversions."""
    none: dict[str, list] = {"backbones": [], "datasets": []}
    run = {**none, "oti": none, "ovi": none, "sweep": {**none, "tokens": []}, "imports": []}
    run["distil"] = {**none, "sources": [], "methods": [], "losses": []}
    return run | {"seeds": {**none, "methods": [], "seeds": []}} | lists
