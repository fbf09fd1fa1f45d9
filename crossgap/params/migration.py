"""Bring a params.yaml of an older shape into today's: which fields moved, and the text with them moved."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain, count
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from crossgap.catalogue import entries
from crossgap.datasets import Declaration
from crossgap.params import editing
from crossgap.params.reading import ParamsError, parsed
from crossgap.params.sections import BackboneSection
from crossgap.training.nano_recipe import NanoRecipe

TRAININGS = ("finetune", "pretrain")
CATALOGUED: dict[entries.Section, Any] = {"backbones": BackboneSection, "datasets": Declaration}
_DISTIL = ("backbones", "datasets", "sources", "methods", "losses")  # lists of run.distil
_OWN = "nano-own"  # the row of `pretrain` that a changed section `nano` becomes
# how the comments begin that stood in the older shape, on what it has no more
_SHIPPED = (
    "# How the embedded backbone was trained:", "# Catalogue of backbones:", "# R and P as in Cross the Gap, sec",
    "# made by `finetune`", "# part in image-image tasks. R and P", "# and P is by analogy: that of its",
    "# and H as DataComp's. A control has", "# finds its published cut-offs by model", "# files of SLIP's release, put",
    "# how it is evaluated: what classes'", "# judgements are measured, a published",
    "# Published sets: `crossgap datasets`", "# are named relative to `root`, which is",
    "# CoOp's folders, splits, class names", "# Kaggle's files, one split; with the", "# a text a class asks for its",
)  # fmt: skip


def moved(raw: dict[str, Any]) -> list[str]:
    """For every field that moved, a line that says where to; empty for a file of today's shape."""
    lines = list(_moved(raw))
    return [*lines, "`crossgap migrate` rewrites the file so, and keeps its comments"] if lines else []


def migrated(text: str) -> tuple[str, list[str]]:
    """The text of a params.yaml in today's shape, and what was done to it, a line each; none if it had that shape.

    Comments stay, except those that crossgap itself had written on the fields that moved.

    Raises:
        ParamsError: it is not YAML as DVC reads it.
    """
    raw = parsed(text, "params.yaml")
    if not moved(raw):
        return text, []
    wanted, done = _todays(raw)
    try:
        text = editing.without_aliases(text)
        found = editing.apply(text, _removals(text, wanted))
    except yaml.YAMLError as error:
        raise ParamsError(
            f"params.yaml can't be rewritten: put in quotes what stands there: {error}"
        ) from None
    for again in (found.replace("\n\n\n", "\n\n"), found):
        if parsed(again, "params.yaml") == parsed(found, "params.yaml"):
            return editing.as_dvc_writes(editing.edited(again, wanted)), done
    raise AssertionError("a text reads as itself")


def _moved(raw: dict[str, Any]) -> Iterator[str]:
    old = "nano" in raw
    if old:
        changes = ", ".join(_changes(raw))
        differing = f"; what differs, {changes}, can be a row of `pretrain`" if changes else ""
        yield f"nano: the recipe of the embedded backbone is in the catalogue now: remove the section{differing}"
    for section in TRAININGS:
        for name in _rows(raw, section):
            if name in _rows(raw, "backbones"):
                yield f"backbones.{name}: {section}.{name} is this backbone; remove the row"
    if _lacks_distilling(raw):
        said = ", ".join(f"{name}: []" for name in _DISTIL)
        yield f"run.distil: missing; add it: distil: {{{said}}}"
    if _lacks_fits(raw):
        yield "evaluate.fit_on: missing; add it: fit_on: {datasets: [], files: {}}"
    if not old:
        return
    for section in CATALOGUED:
        known = [name for name in _rows(raw, section) if name in entries.rows(section)]
        same = [name for name in known if _same(raw, section, name)]
        if same:
            yield f"{section}: in the catalogue now, remove the rows of {', '.join(same)}"
        for name in known:
            if name not in same:
                yield f"{section}.{name}: stands in the place of the catalogue's row, which differs; keep or remove it"
    for section in _lacking(raw):
        yield f"{section}: missing; add it: {section}: {{}}"


def _todays(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    wanted, done = copy.deepcopy(raw), []
    for section in _lacking(raw):
        wanted[section] = {}
        done.append(f"{section}: added, empty")
    if "nano" in wanted:
        changes = _changes(raw)
        del wanted["nano"]
        if changes:
            free = chain([_OWN], (f"{_OWN}-{number}" for number in count(2)))
            name = next(name for name in free if name not in wanted["pretrain"])
            wanted["pretrain"] = {**wanted["pretrain"], name: changes}
            done.append(
                f"nano: removed; {', '.join(changes)} differed from the catalogue's: they are pretrain.{name} now, a "
                "backbone that is trained anew"
            )
        else:
            done.append("nano: removed; it is the catalogue's")
    for section in TRAININGS:
        for name in _rows(wanted, section):
            if name in _rows(wanted, "backbones"):
                del wanted["backbones"][name]
                done.append(f"backbones.{name}: removed; {section}.{name} is this backbone")
    if _lacks_distilling(raw):
        wanted["run"]["distil"] = {name: [] for name in _DISTIL}
        done.append("run.distil: added, empty")
    if _lacks_fits(raw):
        wanted["evaluate"]["fit_on"] = {"datasets": [], "files": {}}
        done.append("evaluate.fit_on: added, empty")
    for section in CATALOGUED:
        same = [name for name in _rows(raw, section) if name in wanted[section] and _same(raw, section, name)]
        for name in same:
            del wanted[section][name]
        done += [f"{section}: removed, as the catalogue has them: {', '.join(same)}"] if same else []
        done += [
            f"{section}.{name}: kept, in the place of the catalogue's row, which differs"
            for name in wanted.get(section) or ()
            if name in entries.rows(section)
        ]
    return wanted, done


def _removals(text: str, wanted: dict[str, Any]) -> list[editing.Edit]:
    """Of the sections and rows that are not wanted, and of comments on them; a user's comments among them stay."""
    removed: list[tuple[int, int]] = []
    kept: list[tuple[int, int]] = []
    for key, value in yaml.compose(text, Loader=yaml.SafeLoader).value:
        if key.value not in wanted:
            removed.append(editing.lines_of(text, key, value))
        elif key.value in CATALOGUED and isinstance(value, yaml.MappingNode) and not value.flow_style:
            for row in value.value:
                (kept if row[0].value in wanted[key.value] else removed).append(editing.lines_of(text, *row))
    stay: dict[tuple[int, int], list[str]] = {span: [] for span in removed}
    edits = []
    for start, end in editing.comments(text):
        comment = text[start:end]
        span = next((span for span in removed if span[0] <= start < span[1]), None)
        if not comment.startswith(_SHIPPED):
            if span:
                stay[span].append(comment)
        elif span is None and not any(first <= start < last for first, last in kept):
            line = text.rfind("\n", 0, start) + 1
            alone = not text[line:start].strip()
            edits.append(editing.Edit(line if alone else start, end + alone, ""))
    for span, lines in stay.items():
        indent = " " * (len(text[span[0] :]) - len(text[span[0] :].lstrip(" ")))
        edits.append(editing.Edit(*span, "".join(f"{indent}{line}\n" for line in lines)))
    return edits


def _lacks_distilling(raw: dict[str, Any]) -> bool:
    """Whether `run` is of before inversions by φ: complete but for them."""
    run = raw.get("run")
    return isinstance(run, dict) and {"sweep", "seeds"} <= run.keys() and "distil" not in run


def _lacks_fits(raw: dict[str, Any]) -> bool:
    """Whether `evaluate` is of before corrections that are fitted elsewhere: a whole file's, but for them."""
    asked = raw.get("evaluate")
    return isinstance(asked, dict) and {"seed", "resamples"} <= asked.keys() and "fit_on" not in asked


def _changes(raw: dict[str, Any]) -> dict[str, Any]:
    """The fields of a section `nano` that differ from the catalogue's recipe."""
    ours = NanoRecipe.model_validate(entries.nano())
    try:
        theirs = NanoRecipe.model_validate(raw["nano"])
    except ValidationError:
        given = raw["nano"] if isinstance(raw["nano"], dict) else {}
        return {name: value for name, value in given.items() if value != entries.nano().get(name)}
    plain = theirs.model_dump(mode="json", exclude_defaults=False)
    return {
        name: raw["nano"].get(name, plain[name])
        for name in type(ours).model_fields
        if getattr(ours, name) != getattr(theirs, name)
    }


def _same(raw: dict[str, Any], section: entries.Section, name: str) -> bool:
    """Whether a row says what the catalogue's does."""
    if name not in entries.rows(section):
        return False
    own, ours = raw[section][name], entries.rows(section)[name]
    try:
        read = TypeAdapter(CATALOGUED[section]).validate_python
        return read(own) == read(ours)
    except ValidationError:
        return False


def _lacking(raw: dict[str, Any]) -> list[str]:
    return [section for section in (*TRAININGS, "idealised", *CATALOGUED) if section not in raw]


def _rows(raw: dict[str, Any], section: str) -> dict[str, Any]:
    held = raw.get(section)
    return held if isinstance(held, dict) else {}
