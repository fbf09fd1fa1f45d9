"""Change values in the text of a params.yaml: every other letter stays, and so do comments."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from crossgap.params.reading import ParamsError, parsed

WIDTH = 80  # of lines that DVC writes


class Edit(NamedTuple):
    """`text[start:end]` becomes something else."""

    start: int
    end: int
    by: str


def edited(text: str, wanted: Mapping[str, Any]) -> str:
    """The text of a params.yaml, edited so that it reads as the values wanted.

    Aliases are written out first. New values are in the form in which DVC writes them.

    Raises:
        ParamsError: it can't be edited so that it reads as wanted, or has what YAML 1.1 can't read.
    """
    try:
        text = without_aliases(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ParamsError(
            f"params.yaml can't be edited here: put in quotes what stands there: {error}"
        ) from None
    found = apply(text, _changes(text, root, parsed(text, "params.yaml"), wanted))
    if parsed(found, "params.yaml") != wanted:
        raise ParamsError("params.yaml is written in a way that can't be edited here: change it by hand")
    return found


def as_dvc_writes(text: str) -> str:
    """The text as DVC leaves it when it has changed a value: `dvc exp run -S` makes no other difference then."""
    for _ in range(2):  # at the second reading, lists stand as they were written at the first
        writer, stream = _writer(), io.StringIO()
        found = YAML().load(text)
        _list_a_line_an_item(found)
        writer.dump(found, stream)
        text = stream.getvalue()
    return text


def _list_a_line_an_item(held: Any) -> None:
    """Lists a line an item: DVC replaces every outermost list by a new one, which it writes without brackets."""
    if isinstance(held, CommentedMap) and not held.fa.flow_style():
        for name, value in held.items():
            if isinstance(value, CommentedSeq) and value:
                value.fa.set_block_style()
                if "#" not in str(value.ca):
                    held[name] = list(value)  # without the empty line behind it, as DVC leaves it
            _list_a_line_an_item(value)


def without_aliases(text: str) -> str:
    """The text with what anchors name written out in the place of their aliases."""
    events = list(yaml.parse(text, Loader=yaml.SafeLoader))
    anchored = {event.anchor: _subtree(events, at) for at, event in enumerate(events) if _is_anchored(event)}
    edits = []
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        start, end = token.start_mark.index, token.end_mark.index
        if isinstance(token, yaml.AliasToken):
            edits.append(Edit(start, end, _flow(anchored[token.value], anchored)))
        elif isinstance(token, yaml.AnchorToken):
            edits.append(Edit(start, end + len(text[end:]) - len(text[end:].lstrip(" ")), ""))
    return apply(text, edits)


def comments(text: str) -> list[tuple[int, int]]:
    """Where comments stand: from the # to the end of the line."""
    scalars = [
        (token.start_mark.index, token.end_mark.index)
        for token in yaml.scan(text, Loader=yaml.SafeLoader)
        if isinstance(token, yaml.ScalarToken)
    ]
    found: list[tuple[int, int]] = []
    for match in re.finditer(r"(?:^|(?<=[ \t]))#", text, re.MULTILINE):
        start = match.start()
        within = [(first, last) for first, last in (*found[-1:], *scalars) if first <= start < last]
        if not within:
            found.append((start, _line_end(text, start)))
    return found


def apply(text: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.by + text[edit.end :]
    return text


def entry(name: str, value: Any, column: int = 0) -> list[str]:
    """Lines of an entry of a mapping as DVC writes it, from a column on."""
    stream, writer = io.StringIO(), _writer(WIDTH - column)
    writer.dump(CommentedMap({name: _styled(value, WIDTH - column - 2)}), stream)
    text = stream.getvalue()
    try:
        as_given = YAML(typ="safe").load(text) == {name: value}
    except YAMLError:
        # the writer leaves some texts without the quotes that they need, such as «:1» in braces
        as_given = False
    lines = (
        text.splitlines() if as_given else [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"]
    )
    return [" " * column + line for line in lines]


def lines_of(text: str, key: yaml.Node, value: yaml.Node) -> tuple[int, int]:
    """The whole lines of an entry of a block mapping, without the comments before and after it."""
    return _line_start(text, key.start_mark.index), _line_end(text, _content_end(key, value)) + 1


def _changes(
    text: str, node: yaml.MappingNode, now: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[Edit]:
    if len(node.value) != len(now) or _merges(node):
        raise ParamsError(
            "params.yaml merges mappings («<<») where it is to be changed: write them out first"
        )
    entries = dict(zip(now, node.value, strict=True))
    for name, (key, value) in entries.items():
        if name not in wanted:
            yield Edit(*lines_of(text, key, value), "")
        elif now[name] != wanted[name] or type(now[name]) is not type(wanted[name]):
            if _inside(value, now[name], wanted[name]):
                yield from _changes(text, value, now[name], wanted[name])
            else:
                yield _replaced(text, key, value, wanted[name])
    last = lines_of(text, *node.value[-1])[1]
    column = node.start_mark.column
    if added := [line for name in wanted if name not in now for line in entry(name, wanted[name], column)]:
        before = "" if text[:last].endswith("\n") else "\n"
        yield Edit(last, last, before + "\n".join(added) + "\n")


def _inside(node: yaml.Node, now: Any, wanted: Any) -> bool:
    """Whether a mapping is changed entry by entry."""
    if not (isinstance(node, yaml.MappingNode) and isinstance(wanted, Mapping) and not node.flow_style):
        return False
    return not _merges(node) and bool(now.keys() & wanted.keys())


def _merges(node: yaml.MappingNode) -> bool:
    return any(key.value == "<<" for key, _ in node.value)


def _replaced(text: str, key: yaml.Node, value: yaml.Node, wanted: Any) -> Edit:
    """A line with a new value; the comment behind the old value, or behind its key, stays behind the new one."""
    name = text[key.start_mark.index : key.end_mark.index]
    block = isinstance(value, yaml.CollectionNode) and not value.flow_style
    end = _content_end(key, value)
    colon = text.index(":", key.end_mark.index) + 1
    behind = text[colon : _line_end(text, colon)] if block else text[end : _line_end(text, end)]
    first, *others = entry("key", wanted, key.start_mark.column)
    first = name + first[first.index(":") :]
    if first.endswith(":") or not others:
        new = "\n".join([first + behind.rstrip(), *others])
    else:
        new = "\n".join([first, *others]) + behind
    return Edit(key.start_mark.index, _line_end(text, end), new)


def _styled(value: Any, width: int) -> Any:
    """Mappings in braces where they fit into a line; lists a line an item, since DVC writes them so."""
    if isinstance(value, list):
        return [_styled(item, 0) for item in value]  # of its own: one that is there twice would get an anchor
    if not isinstance(value, Mapping):
        return value
    stream, one_line = io.StringIO(), YAML()
    one_line.default_flow_style, one_line.width = True, 10_000
    one_line.dump(dict(value), stream)
    found = CommentedMap({name: _styled(held, width - 2) for name, held in value.items()})
    if len(stream.getvalue()) + max(map(len, value), default=0) < width:
        found.fa.set_flow_style()
    return found


def _writer(width: int = WIDTH) -> YAML:
    writer = YAML()
    writer.default_flow_style, writer.width = False, width
    return writer


def _content_end(key: yaml.Node, value: yaml.Node) -> int:
    if isinstance(value, yaml.CollectionNode) and not value.flow_style and value.value:
        last = value.value[-1]
        return _content_end(*(last if isinstance(last, tuple) else (last, last)))
    if isinstance(value, yaml.ScalarNode) and value.style in ("|", ">"):
        return value.end_mark.index - 1  # it ends with its last line break
    return max(key.end_mark.index, value.end_mark.index)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _is_anchored(event: yaml.Event) -> bool:
    return getattr(event, "anchor", None) is not None and not isinstance(event, yaml.AliasEvent)


def _subtree(events: list[yaml.Event], at: int) -> list[yaml.Event]:
    depth = 0
    for end in range(at, len(events)):
        depth += isinstance(events[end], yaml.CollectionStartEvent) - isinstance(
            events[end], yaml.CollectionEndEvent
        )
        if depth == 0:
            return events[at : end + 1]
    raise AssertionError("events of YAML are balanced")


def _flow(events: list[yaml.Event], anchored: Mapping[str, list[yaml.Event]]) -> str:
    """In one line."""
    held = list(_written_out(events, anchored))
    start = [yaml.StreamStartEvent(), yaml.DocumentStartEvent(explicit=False)]
    text = yaml.emit(
        [*start, *held, yaml.DocumentEndEvent(explicit=False), yaml.StreamEndEvent()], width=10_000
    )
    return text.removesuffix("...\n").strip()


def _written_out(events: list[yaml.Event], anchored: Mapping[str, list[yaml.Event]]) -> Iterator[yaml.Event]:
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            yield from _written_out(anchored[event.anchor], anchored)
        elif isinstance(event, yaml.ScalarEvent):
            yield yaml.ScalarEvent(None, event.tag, event.implicit, event.value, style=event.style)
        elif isinstance(event, yaml.CollectionStartEvent):
            yield type(event)(None, event.tag, event.implicit, flow_style=True)
        else:
            yield event
