"""The page's first words: three sentences a backbone, made from the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, median
from typing import Any, NamedTuple

from crossgap import naming
from crossgap.errors import listed
from crossgap.relevances import uncounted
from crossgap.report.explore import Line, difference
from crossgap.report.results import Results
from crossgap.report.sources import titles
from crossgap.report.tables import decimal, interval, percent, points, present, probability, title

Measured = Sequence[tuple[Results, Sequence[Line]]]
INVERSIONS = (("image-image", "oti-image"), ("text-text", "ovi-text"))
CAPTIONS = "captions of one image"  # what the labelling `group` says
_KINDS = {"image-image": "image retrieval", "text-text": "text retrieval"}


class Change(NamedTuple):
    """What a method changes against its baseline, by one labelling of one dataset, as a fraction of mAP."""

    where: str
    difference: float
    line: Line


class Answer(NamedTuple):
    """Of one backbone: how large its gap is, what going inter-modal does, and which correction is best."""

    backbone: str
    sentences: tuple[str, str, str]


def answers(measured: Measured) -> list[Answer]:
    """An answer for each backbone, in their order."""
    found = []
    for backbone in dict.fromkeys(cell.backbone for cell, _ in measured):
        of = [(cell, lines) for cell, lines in measured if cell.backbone == backbone]
        names = (
            of[0][0].modalities if len({str(cell.modalities) for cell, _ in of}) == 1 else naming.MODALITIES
        )
        gap, inter_modal, best = (naming.called(say(of), names) for say in (_gap, _inter_modal, _corrections))
        found.append(Answer(backbone, (gap, inter_modal, best)))
    return found


def changes(measured: Measured, task: str) -> list[Change]:
    """Of every method of a retrieval task, by every labelling of every cell that has both numbers.

    What `relevances.uncounted` names is no labelling.
    """
    found = []
    several = len({cell.dataset for cell, _ in measured}) > 1
    for cell, lines in measured:
        of = [line for line in lines if line.family == "retrieval" and line.task == task]
        aside = uncounted((line.labelling for line in of), cell.subsets)
        of = [line for line in of if line.labelling not in aside]
        native = {line.labelling: line for line in of if line.native}
        for line in of:
            if not line.native and present(gained := difference(line, native.get(line.labelling))):
                name = CAPTIONS if line.labelling == "group" else line.labelling
                where = f"{name} on {cell.dataset}" if several else name
                found.append(Change(where, gained, line))
    return found


def _gap(of: Measured) -> str:
    distances = _values(of, "gap/centroid_distance")
    if not distances:
        return "Its gap was not measured: that needs images and texts."
    where = of[0][0].dataset if len(of) == 1 else f"{len(distances)} of {len(of)} datasets"
    said = f"On {where}, the means of image and text features lie {_spread(distances, decimal)} apart"
    said += " (centroid distance: 0 if they coincide, at most 2)"
    told = _values(of, "gap/linear_separability")
    if told:
        said += (
            f", and a linear classifier tells the modalities apart with an accuracy of {_spread(told, _rate)}"
        )
    return f"{said.removesuffix(',')}."


def _inter_modal(of: Measured) -> str:
    clauses = []
    for task, method in INVERSIONS:
        found = [change for change in changes(of, task) if change.line.method == method]
        if found:
            clauses.append(
                f"Inverted queries ({title(method)}) change the mAP of {_KINDS[task]} by {_mean(found)} points on "
                f"average, compared with native ones ({task}): {_verdicts(found)}"
            )
    if not clauses:
        if any(naming.by_phi(change.line.method) for task in _KINDS for change in changes(of, task)):
            return "Queries were inverted by φ alone: the table of results compares them with native ones."
        return "No inverted query was compared with a native one: what going inter-modal gains or costs is not known."
    first, *more = clauses
    return f"{'; '.join([first, *(clause[0].lower() + clause[1:] for clause in more)])}."


def _corrections(of: Measured) -> str:
    clauses, number = [], 0
    for task, kind in _KINDS.items():
        found = [change for change in changes(of, task) if change.line.correction]
        by = {name: [c for c in found if c.line.correction == name] for name in _names(found)}
        if not by:
            continue
        number = max(number, len(by))
        most = max(map(len, by.values()))
        held = {name: of_one for name, of_one in by.items() if len(of_one) == most}
        best = max(held, key=lambda name: mean(c.difference for c in held[name]))
        named = next(titles(cell)[best] for cell, _ in of if best in titles(cell))
        does = (
            "is best"
            if mean(c.difference for c in held[best]) > 0
            else "costs least, but none helps on average"
        )
        clauses.append(f"{named} {does} for {kind}: {_mean(held[best])} points, {_verdicts(held[best])}")
    if not clauses:
        return "No correction was measured."
    return f"Of {number} correction{'s' if number > 1 else ''}, {'; '.join(clauses)}."


def _names(found: Iterable[Change]) -> list[str]:
    return list(dict.fromkeys(change.line.correction for change in found))


def _mean(found: Sequence[Change]) -> str:
    return points(mean(change.difference for change in found))


def _verdicts(found: Sequence[Change]) -> str:
    """By how many labellings it is better, worse and undecided, with the largest of each kind."""
    parts: list[str] = []
    whole = f" of {len(found)} labelling{'s' if len(found) > 1 else ''}"

    def share(count: int) -> str:
        return f"{count}{'' if parts else whole}"

    for verdict, most in (("better", max), ("worse", min)):
        of = [change for change in found if change.line.verdict == verdict]
        if of:
            top = most(of, key=lambda change: change.difference)
            parts.append(f"significantly {verdict} by {share(len(of))}, most by {top.where} ({_tested(top)})")
    undecided = sum(change.line.verdict == "undecided" for change in found)
    untested = sum(change.line.verdict == "" for change in found)
    for words, count in (("undecided", undecided), ("not tested", untested)):
        if count:
            parts.append(f"{words} by {share(count)}")
    return listed(parts)


def _tested(change: Change) -> str:
    test: Mapping[str, Any] = change.line.test or {}
    p = probability(test["p_adjusted"])
    ends = interval(test["low"], test["high"])
    return (
        f"{points(change.difference)}{' ' + ends if ends else ''}, p {p if p.startswith('<') else '= ' + p}"
    )


def _values(of: Measured, key: str) -> list[float]:
    return [value for cell, _ in of if present(value := cell.metrics.get(key))]


def _spread(values: Sequence[float], shown: Callable[[float], str]) -> str:
    low, high = shown(min(values)), shown(max(values))
    return low if low == high else f"{low} to {high}, in the median {shown(median(values))},"


def _rate(value: float) -> str:
    return f"{percent(value)}\N{NO-BREAK SPACE}%"
