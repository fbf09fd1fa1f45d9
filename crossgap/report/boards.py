"""The tables of methods that a cell has: retrieval, classification, clusters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from crossgap.errors import CrossgapError
from crossgap.naming import by_phi as by_phi_of
from crossgap.naming import plain
from crossgap.report.methods import COLUMNS, Board, Line, board, compared
from crossgap.report.results import Results
from crossgap.report.tables import Grouped, group, in_order, title

CORRECTIONS = ("name", "title", "source", "how", "parameters", "reason")
_METRICS = {
    "retrieval": "mAP", "classification": "accuracy", "clustering": "ami", "hubness": "recall@1",
    "robustness": "stays",
}  # by family  # fmt: skip
_IMAGE = ("image-image", "oti-image", "oti-oti")
_TEXT = ("text-text", "ovi-text", "ovi-ovi")
_ACROSS = ("text-image", "image-text")
_PROMPTS = ("image-text", "oti-text", "image-ovi")
_NATIVE = "native features"
_PROBES = {
    "ncm": "class means", "gda": "GDA", "knn_1": "1 nearest neighbour", "knn_5": "5 nearest neighbours",
    "logistic": "logistic regression",
}  # fmt: skip
_BLENDED = "with class prompts"

Blocks = Mapping[tuple[str, ...], Mapping[str, str]]  # heading of a block → task → title, the baseline first


class Section(NamedTuple):
    """A table of methods and what the page says of it.

    Attributes:
        name: which of the cell's tables it is.
        numbers: what they are.
        baseline: what they are compared with.
        heads: of the rows' headings.
        column: what a column is.
        folded: whether it opens only when asked to.
    """

    name: str
    title: str
    numbers: str
    baseline: str
    heads: tuple[str, ...]
    column: str
    board: Board | None  # None only until `sections` leaves those without out
    folded: bool = False


class _Numbers:
    """A cell's metrics and tests by family, and the titles of its corrections."""

    def __init__(self, cell: Results) -> None:
        self.corrections = titles(cell)
        self.values = {family: group(cell.metrics, family) for family in _METRICS}
        self.tests: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {family: {} for family in _METRICS}
        for row in cell.rows("comparisons", COLUMNS):
            if row["family"] not in self.tests:
                raise CrossgapError(
                    f"comparisons: no family {row['family']!r}; expected {', '.join(_METRICS)}"
                )
            self.tests[row["family"]][row["task"], row["relevance"]] = row

    def board(self, family: str, columns: Iterable[str], lines: Iterable[Line]) -> Board | None:
        values, tests = self.values[family], self.tests[family]
        return board(values, tests, list(columns), lines, family, _METRICS[family])

    def of(self, family: str, blocks: Blocks) -> Board | None:
        """Methods by relevance."""
        tasks = {task for block in blocks.values() for task in block}
        columns = _relevances(self.values[family], tasks)
        lines = [
            line
            for heading, block in blocks.items()
            for line in compared(block, columns, self.corrections, *heading)
        ]
        return self.board(family, columns, lines)

    def titled(self, family: str, tasks: Sequence[str]) -> dict[str, str]:
        """Tasks with their titles, those by φ after the same by optimisation."""
        by_phi = dict.fromkeys(task for task, _, _ in self.values[family] if by_phi_of(task))
        every = [one for task in tasks for one in (task, *(by for by in by_phi if plain(by) == task))]
        return {task: title(task) for task in every}

    def across(self) -> Board | None:
        """Corrections by task, each against the same task with native features."""
        found = self.values["retrieval"]
        places = [(task, relevance) for task in _ACROSS for relevance in _relevances(found, {task})]
        columns = [task if relevance == "group" else f"{task}, {relevance}" for task, relevance in places]
        lines = [Line((_NATIVE,), tuple(places))]
        for name, words in self.corrections.items():
            corrected = tuple((f"{task}+{name}", relevance) for task, relevance in places)
            lines.append(Line((words,), corrected, tuple(places)))
        return self.board("retrieval", columns, lines)

    def shots(self) -> list[str]:
        found = {task for task, _, _ in self.values["classification"] if re.fullmatch(r"\d+-shot", task)}
        return sorted(found, key=lambda task: int(task.removesuffix("-shot")))


def sections(cell: Results) -> list[Section]:
    """Every table of methods that has numbers, in the page's order.

    Raises CrossgapError if the cell's comparisons or corrections lack a column, or a comparison is of no known family.
    """
    numbers = _Numbers(cell)
    retrieval, accuracy = "mAP in percent, by query-gallery", "Accuracy in percent"
    made = [
        Section(
            "image", "Retrieval with image queries", retrieval, _IMAGE[0], ("method",), "relevance",
            numbers.of("retrieval", {(): numbers.titled("retrieval", _IMAGE)}),
        ),
        Section(
            "text", "Retrieval with text queries", retrieval, _TEXT[0], ("method",), "relevance",
            numbers.of("retrieval", {(): numbers.titled("retrieval", _TEXT)}),
        ),
        Section(
            "across", "Retrieval across the modalities", retrieval, _NATIVE, ("method",), "task",
            numbers.across(),
        ),
        Section(
            "hubness", "Corrections of hubs", "Recall@1 in percent, of the second half of images and captions",
            _NATIVE, ("task", "method"), "gallery",
            numbers.of("hubness", {(title(task),): {task: _NATIVE} for task in _ACROSS}),
        ),
        Section(
            "robustness", "Robustness", "Queries whose nearest neighbour stays, in percent",
            _NATIVE, ("task", "method"), "perturbation",
            numbers.of("robustness", {
                (title(task),): {task: _NATIVE} for task in (_IMAGE[0], _TEXT[0], *_ACROSS)
            }), folded=True,
        ),
        Section(
            "prompts", "Classification by class prompts", f"{accuracy}, by feature and class prompt",
            "image-text (zero-shot)", ("method",), "labelling",
            numbers.of("classification", {(): numbers.titled("classification", _PROMPTS)}),
        ),
        Section(
            "means", "Classification by class means", f"{accuracy}, by the nearest mean of a class's images",
            _NATIVE, ("method",), "labelling",
            numbers.of("classification", {(): {"ncm": _NATIVE}}),
        ),
        Section(
            "probes", "Classification by labelled images", f"{accuracy}, by probes of all of them",
            "class means, of a correction the same probe without it", ("probe", "method"), "labelling",
            numbers.of("classification", _probes()), folded=True,
        ),
        Section(
            "shots", "Classification by a few images a class", f"{accuracy}, by the nearest mean of a few images",
            f"the same with {_NATIVE}", ("images", "method"), "labelling",
            numbers.of("classification", {(task,): {task: _NATIVE} for task in numbers.shots()}), folded=True,
        ),
        Section(
            "shot_probes", "Classification by a few images a class, otherwise",
            f"{accuracy}, by the first images, by GDA, and with class prompts",
            "class means, of a correction the same without it", ("images", "method"), "labelling",
            numbers.of("classification", _few(numbers.shots())), folded=True,
        ),
        Section(
            "clusters", "Clusters", "Adjusted mutual information of k-means with each labelling, in percent",
            _NATIVE, ("clustered", "method"), "labelling",
            numbers.of("clustering", {
                ("images",): {"image": _NATIVE, "oti": "OTI"}, ("images and captions",): {"joint": _NATIVE},
            }),
        ),
    ]  # fmt: skip
    return [section for section in made if section.board]


def _probes() -> Blocks:
    """Every probe beside class means, then each with corrections, and with class prompts blended in."""
    beside = dict(_PROBES)
    blocks: dict[tuple[str, ...], Mapping[str, str]] = {("all",): beside}
    for task, words in _PROBES.items():
        if task != "ncm":
            blocks[words,] = {task: _NATIVE}
        if task in ("ncm", "gda"):
            blocks[f"{words}, {_BLENDED}",] = {f"{task}_text": _NATIVE}
    return blocks


def _few(shots: Iterable[str]) -> Blocks:
    """By the number of images: GDA, class prompts blended in, and the first images by id instead of random draws."""
    blocks: dict[tuple[str, ...], Mapping[str, str]] = {}
    for drawn in shots:
        first = f"first-{drawn.removesuffix('-shot')}"
        blocks[f"{drawn}, {_PROBES['ncm']}, {_BLENDED}",] = {f"{drawn}_text": _NATIVE}
        blocks[f"{drawn}, GDA",] = {f"{drawn}-gda": _NATIVE}
        blocks[f"{drawn}, GDA, {_BLENDED}",] = {f"{drawn}-gda_text": _NATIVE}
        blocks[f"{first}, {_PROBES['ncm']}",] = {first: _NATIVE}
        blocks[f"{first}, GDA",] = {f"{first}-gda": _NATIVE}
    return blocks


def titles(cell: Results) -> dict[str, str]:
    """Correction → title, no two alike: those described, then any others that a task is named after."""
    described = {row["name"]: row["title"] or row["name"] for row in cell.rows("corrections", CORRECTIONS)}
    shared = Counter(described.values())
    described = {
        name: words if shared[words] == 1 else f"{words} ({name})" for name, words in described.items()
    }
    used = {task.partition("+")[2] for family in _METRICS for task, _, _ in group(cell.metrics, family)}
    used |= {
        key.split("/")[1].partition("+")[2] for key in cell.metrics if key.startswith(("gap/", "hubness/"))
    }
    others = sorted(used - described.keys() - {""})
    return described | {
        name: " + ".join(described.get(part, part) for part in name.split("+")) for name in others
    }


def _relevances(values: Grouped, tasks: set[str]) -> list[str]:
    """Those of any of `tasks`, with or without a correction."""
    return in_order(relevance for task, relevance, _ in values if task.partition("+")[0] in tasks)
