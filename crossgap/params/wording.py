"""The sentence on a field that is wrong: where it stands, what it should be and what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel

from crossgap.datasets import LAYOUTS, NAME
from crossgap.datasets.declared.base import SPLIT
from crossgap.errors import like
from crossgap.params.sections import ADDRESS, DEVICE, SHA256

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_REMEDIES = {
    "missing": "missing; add it",
    "bool_type": "give true or false, without quotes",
    "int_type": "give a whole number, of digits alone, without quotes",
    "float_type": "give a number, without quotes",
    "string_type": "give words, in quotes if YAML reads something else",
    "list_type": "give a list, such as [a, b], or [] for none",
    "dict_type": "give keys and values, as the other entries have them",
    "path_type": "give a path, in quotes if YAML reads something else",
    "model_type": "give keys and values, as the other entries have them",
    "union_tag_not_found": f"no layout; give one of {', '.join(LAYOUTS)}",
}
_READ_AS = {
    "bool": "a truth value",
    "int": "a number",
    "float": "a number",
    "date": "a date",
    "datetime": "a date",
    "TimeStamp": "a date",
}
_PATTERNS = {
    NAME: "a name is made of letters, digits, - and _, 100 at most, and starts with a letter or digit",
    SPLIT: "this name is made of letters, digits, ., - and _, 100 at most, and starts with a letter or digit",
    DEVICE: "give auto, cpu, mps, cuda or cuda:N",
    ADDRESS: "give auto, the host:port of a running Ray cluster, or null to start one",
    SHA256: "give the 64 hexadecimal digits that sha256sum prints",
}


def explain(problem: ErrorDetails, params: type[BaseModel]) -> str:
    """The sentence on a problem that pydantic found in `params`."""
    kind, value, message = problem["type"], problem["input"], problem["msg"].removeprefix("Value error, ")
    place = [str(part) for part in problem["loc"] if part != "[key]"]
    if place[:1] == ["datasets"]:
        del place[2:3]  # pydantic names the layout here
    if not place:
        return message
    if kind == "string_pattern_mismatch":
        message = _PATTERNS.get(problem["ctx"]["pattern"], message)
    message = _REMEDIES.get(kind, message)
    if kind == "extra_forbidden":
        known = _keys(params, [str(part) for part in problem["loc"][:-1]])
        message = f"unknown key{like(place[-1], known)}; remove it or mend its spelling"
    if kind == "union_tag_invalid":
        message = f"unknown layout{like(problem['ctx']['tag'], LAYOUTS)}; give one of {', '.join(LAYOUTS)}"
    if kind == "literal_error":
        message += like(value, re.findall("'([^']+)'", problem["ctx"]["expected"]))
    if kind == "string_type" and (read := _READ_AS.get(type(value).__name__)):
        message = f"YAML reads {read} here: put it in quotes, or name it otherwise"
    if kind.startswith("union_tag") and isinstance(value, dict):
        value = value.get("layout")
    said = kind == "value_error" and repr(value) in message
    if isinstance(value, dict) or kind in ("missing", "union_tag_not_found") or said:
        return f"{'.'.join(place)}: {message}"
    return f"{'.'.join(place)}: {message} (got {value!r})"


def _keys(params: type[BaseModel], place: Sequence[str]) -> set[str]:
    """The keys that a place of params can have."""
    kinds = {params}
    for part in place:
        held = [kind.model_fields[part].annotation for kind in kinds if part in kind.model_fields]
        if part in LAYOUTS and kinds & {*LAYOUTS.values()}:
            kinds = {LAYOUTS[part]}
        elif held:
            kinds = {kind for annotation in held for kind in _models(annotation)}
    return {key for kind in kinds for key in kind.model_fields}


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models in an annotation, such as that of a dict's rows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
