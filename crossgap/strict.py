"""What everything that a file declares is made of, and options that are given in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossgap.errors import CrossgapError, like


class Strict(BaseModel):
    """Known keys alone, each of its own type: `true` is no number and `"5"` no integer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


# written in YAML as text and as lists
FilePath = Annotated[Path, Field(strict=False)]
Betas = Annotated[tuple[float, float], Field(strict=False)]  # of AdamW

LARGEST_RATE = 1e30  # torch divides it before it is of 32 bits
Rate = Annotated[float, Field(gt=0, le=LARGEST_RATE)]

Seed = Annotated[int, Field(ge=0, lt=2**63)]  # NumPy and torch both take these

S = TypeVar("S", bound=Strict)


_DOUBLE = "“”„‟«»"
_QUOTES = _DOUBLE + "‘’‚‛"


def unquoted(text: str) -> str:
    """A text that is not as a whole in typographic quotes, which YAML takes for a part of it; else ValueError."""
    whole = not any(quote in _DOUBLE for quote in text[1:-1])
    if len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES and whole:
        raise ValueError(f"{text!r} is in typographic quotes, which would be part of it: put it in \" or '")
    return text


def once(names: list) -> list:
    """The same list; raises ValueError where one stands in it twice."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"named twice: {', '.join(map(str, twice))}")
    return names


def options(kind: type[S], of: str, given: Any) -> S:
    """Options as Python gives them, in a dict: tuples and arrays are lists, and NumPy's numbers are numbers.

    Args:
        of: what the errors call it.

    Raises:
        CrossgapError: no dict, an unknown option or a value that can't be used; one sentence names them all.
    """
    if not isinstance(given, dict):
        raise CrossgapError(f"{of} is {given!r}: give a dict with {', '.join(kind.model_fields)}")
    try:
        return kind.model_validate({name: _plain(value) for name, value in given.items()})
    except ValidationError as error:
        wrong = [_said(problem, kind) for problem in error.errors()]
        raise CrossgapError(f"{of}: {'; '.join(wrong)}") from None


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _plain(held) for name, held in value.items()}
    return [_plain(held) for held in value] if isinstance(value, tuple | list) else value


def _said(problem: Any, kind: type[Strict]) -> str:
    place = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{place} is no option of it{like(place, kind.model_fields)}; it has {', '.join(kind.model_fields)}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place} is {problem['input']!r}: {message[:1].lower()}{message[1:]}"
