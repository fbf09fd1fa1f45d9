"""params.yaml as DVC reads it: by the same reader, YAML 1.2, in which a key stands once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from crossgap.errors import CrossgapError


class ParamsError(CrossgapError):
    """`params.yaml` can't be used; the message lists every field that is wrong."""


def read(path: str | Path) -> dict[str, Any]:
    """The sections of a params.yaml, as they stand there.

    Raises:
        ParamsError: no such file, not YAML, no sections, or a key that stands twice, with its lines.
    """
    return parsed(text_of(path), path)


def text_of(path: str | Path) -> str:
    """The text of a params.yaml.

    Raises:
        ParamsError: there is none, or it is no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ParamsError(f"{path} not found: run from the project's root") from None
    except IsADirectoryError:
        raise ParamsError(f"{path} is a folder: name the file in it") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not YAML: {error}") from None


def parsed(text: str, path: str | Path) -> dict[str, Any]:
    """As `read`, of a text; the path is for messages."""
    try:
        found = YAML(typ="safe").load(text)
    except DuplicateKeyError as error:
        twice = [
            f"{place}: stands twice, in lines {first} and {again}; DVC reads no such file: put both into one"
            for place, first, again in duplicates(text)
        ]
        raise refused(path, twice or [str(error)]) from None
    except YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {error}") from None
    except RecursionError:
        raise ParamsError(
            f"{path} is not a params.yaml: its brackets or sections are nested too deeply"
        ) from None
    if not isinstance(found, dict):
        raise ParamsError(f"{path} can't be used: it needs sections, such as run, oti, ovi and evaluate")
    return found


def refused(path: str | Path, lines: list[str]) -> ParamsError:
    return ParamsError("\n  ".join([f"{path} can't be used:", *lines]))


def duplicates(text: str) -> list[tuple[str, int, int]]:
    """Keys that stand twice in one mapping: the place, and the lines of both."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # it reads YAML 1.1, to the letter a little less than 1.2
        return []
    return list(_duplicates(root, ())) if root else []


def _duplicates(node: yaml.Node, place: tuple[str, ...]) -> Iterator[tuple[str, int, int]]:
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _duplicates(item, (*place, str(number)))
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        at, line = (*place, str(key.value)), key.start_mark.line + 1
        if at[-1] in lines:
            yield ".".join(at), lines[at[-1]], line
        lines.setdefault(at[-1], line)
        yield from _duplicates(value, at)
