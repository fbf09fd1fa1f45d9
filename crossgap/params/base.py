"""What all sections of params.yaml share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crossgap.datasets import NAME

Name = Annotated[str, Field(pattern=NAME)]
