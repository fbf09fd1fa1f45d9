"""What everything that a file declares is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Known keys alone, each of its own type: `true` is no number and `"5"` no integer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


# written in YAML as text and as lists
FilePath = Annotated[Path, Field(strict=False)]
Betas = Annotated[tuple[float, float], Field(strict=False)]  # of AdamW

Seed = Annotated[int, Field(ge=0, lt=2**63)]  # NumPy and torch both take these
