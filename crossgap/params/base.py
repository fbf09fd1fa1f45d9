"""What all sections of params.yaml share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crossgap.datasets import NAME

Name = Annotated[str, Field(pattern=NAME)]


def once(names: list) -> list:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"named twice: {', '.join(map(str, twice))}")
    return names
