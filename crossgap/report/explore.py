"""Every method of every task of a cell, and its baseline: what the page's table, figure and sentences are of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossgap import naming
from crossgap.errors import CrossgapError
from crossgap.report.results import Results
from crossgap.report.sources import titles
from crossgap.report.tables import RATES, absent, in_order, plain_words, present, title

COLUMNS = (
    "family", "task", "relevance", "value", "baseline_value", "difference", "low", "high", "p", "p_adjusted", "queries",
)  # fmt: skip
NATIVE = "native features"
# families of other parts of the page; any other one is a row of the table
ELSEWHERE = ("gap", "items", "inversion", "snapshots", "seeds", "similarity", "arithmetic")
# family → the metric that its methods are judged by
_MAIN = {
    "retrieval": "mAP", "classification": "accuracy", "clustering": "ami", "mixed": "recall@1", "composed": "mAP",
}  # fmt: skip
_FAMILIES = tuple(_MAIN)
_SHARES = (
    "first_image", "stays", "never_found", "normalised", "activated", "ami", "ari", "nmi", "v_measure",
)  # fmt: skip
_TASKS = {
    ("classification", "image-text"): "zero-shot classification",
    ("clustering", "image"): "clusters of images",
    ("clustering", "joint"): "clusters of images and captions",
    ("mixed", "search"): "search among images and texts",
    ("mixed", "fused"): "search among images fused with texts",
    ("mixed", "distractors"): "search among images and distracting texts",
}
_SUPPORTED = re.compile(
    r"(?:(?P<shots>\d+)-shot|first-(?P<first>\d+)|(?P<by>ncm|gda|logistic)|knn_(?P<near>\d+))"
    r"(?P<gda>-gda)?(?P<text>_text)?"
)
_BY = {"ncm": "class means", "gda": "GDA", "logistic": "logistic regression"}
_ORDER = ("image-image", "text-text", "text-image", "image-text")


@dataclass(frozen=True)
class Line:
    """One task by one method and labelling.

    Attributes:
        family: `retrieval`, `classification`, …
        task: the baseline's, which methods are compared with.
        method: the task's own name, which is the baseline's where the method is native.
        metrics: by name, rates as fractions.
        test: the row of the cell's comparisons; None where it wasn't tested.
    """

    family: str
    task: str
    method: str
    labelling: str
    metrics: Mapping[str, float]
    test: Mapping[str, Any] | None

    @property
    def native(self) -> bool:
        return self.method == self.task

    @property
    def correction(self) -> str:
        """The correction's name; empty of a method without one."""
        return self.method.partition("+")[2]

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `undecided`; empty where it wasn't tested."""
        if self.test is None:
            return ""
        p, difference = self.test["p_adjusted"], self.test["difference"]
        if absent(p) or absent(difference) or p >= naming.ALPHA:
            return "undecided"
        return "better" if difference > 0 else "worse"


def lines(cell: Results) -> list[Line]:
    """All of a cell, tasks and labellings in the page's order, a baseline before what is compared with it.

    Raises CrossgapError if the comparisons lack a column, or one is of no task that was measured.
    """
    tests: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    baselines: dict[tuple[str, str], str] = {}
    for row in cell.rows("comparisons", COLUMNS):
        tests[row["family"], row["task"], row["relevance"]] = row
    if tests and cell.comparisons is not None and "baseline" in cell.comparisons:
        for row in cell.rows("comparisons", ("family", "task", "baseline")):
            baselines[row["family"], row["task"]] = row["baseline"]
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for key, value in cell.metrics.items():
        if parsed := parse(key):
            family, task, labelling, metric = parsed
            found.setdefault((family, task, labelling), {})[metric] = value
    if unknown := sorted(
        {family for family, _, _ in tests} - {family for family, _, _ in found} - {*_FAMILIES}
    ):
        raise CrossgapError(
            f"comparisons: no family {unknown[0]!r} was measured; expected {', '.join(_FAMILIES)}"
        )
    measured: dict[str, set[str]] = {}  # tasks by family
    for family, task, _ in found:
        measured.setdefault(family, set()).add(task)
    made = []
    for (family, task, labelling), metrics in found.items():
        base = baselines.get((family, task)) or baseline(task, measured[family])
        test = tests.get((family, task, labelling)) if base != task else None
        made.append(Line(family, base, task, labelling, metrics, test))
    return sorted(made, key=_place)


def parse(key: str) -> tuple[str, str, str, str] | None:
    """Family, task, labelling (empty where there is none) and metric of a key; None of one that other parts show."""
    family, _, _, metric = parts = naming.parts_of(key)
    return parts if family not in ELSEWHERE and metric else None


def baseline(task: str, measured: Iterable[str] = ()) -> str:
    """The task with native features that a task is compared with where no test says so; of a baseline, itself."""
    plain, plus, _ = task.partition("+")
    if plus:
        return plain
    parts = naming.plain(task).split("-")
    native = "-".join({"oti": "image", "ovi": "text"}.get(part, part) for part in parts)
    return native if native != task or native in measured else task


def main_metric(line: Line) -> str:
    """The metric that a line is judged by."""
    preferred = _MAIN.get(line.family, "")
    return preferred if preferred in line.metrics or not line.metrics else next(iter(line.metrics))


def metric_names(found: Iterable[Line]) -> list[str]:
    """All metrics, those of retrieval first."""
    names = {name for line in found for name in line.metrics}
    return [*(name for name in RATES if name in names), *sorted(names - {*RATES})]


def is_rate(metric: str) -> bool:
    """Whether a metric is shown in percent: any but counts and skewnesses."""
    return metric in (*RATES, *_SHARES) or "recall" in metric or "mAP" in metric


def task_title(family: str, task: str) -> str:
    """A task with its family as the page names it."""
    if (family, task) in _TASKS:
        return _TASKS[family, task]
    if family == "classification" and (by := _supported(task)):
        return f"{by} classification" if by.endswith("-shot") else f"classification by {by}"
    if family == "composed":
        return f"composed retrieval by {title(task)}"
    return f"{title(task)} {plain_words(family)}"


def _supported(task: str) -> str:
    """What a classification goes by that has examples; empty of another one."""
    found = _SUPPORTED.fullmatch(task)
    if not found:
        return ""
    shots, first, by, near, gda, text = found.groups()
    if near:
        words = "the nearest neighbour" if near == "1" else f"{near} nearest neighbours"
    elif first:
        words = f"the first {first} image{'' if first == '1' else 's'} a class"
    else:
        words = f"{shots}-shot" if shots else _BY[by]
    of = ("" if not gda else " by GDA" if first else " GDA") + (" with texts" if text else "")
    return words + of


def method_title(line: Line, corrections: Mapping[str, str]) -> str:
    if line.native:
        return NATIVE
    if line.correction:
        return corrections.get(line.correction, line.correction)
    return (_supported(line.method) if line.family == "classification" else "") or title(line.method)


def difference(line: Line, base: Line | None) -> float | None:
    """Of the main metric to the baseline: the tested one, else that of the two numbers."""
    if line.test is not None and present(line.test["difference"]):
        return line.test["difference"]
    metric = main_metric(line)
    value, other = line.metrics.get(metric), base.metrics.get(metric) if base else None
    return value - other if present(value) and present(other) and not line.native else None


def packed(cells: Sequence[tuple[Results, list[Line]]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The lines of all cells as compact columns: what cells share, and each cell's own numbers.

    Shared are `rows`, lists of lines: family, task, method, labelling (numbers of `words`), the row of the baseline or
    -1, the number of the main metric, and whether it is of a correction; `places`, lists of rows as the first one and
    the steps to the next; by cell, `of`, the number of its list, and `compared`, whether anything in it was compared.

    A cell has, by metric, the number of the places of its values and the values (rates in 1e-6, as a cell's table has
    them); and its tests: the number of their places, then columns. Differences and intervals are in 1e-4: a difference
    is given by what it is more than that of the two values, a lower end by its distance below the difference, an upper
    end by how much more that lies above it.
    """
    names = metric_names(line for _, found in cells for line in found)
    rates = {name: is_rate(name) for name in names}
    words: dict[str, int] = {}
    lists: dict[str, int] = {}
    places: dict[tuple[int, ...], int] = {}
    rows: list[list[list[int]]] = []
    of, made = [], []

    def word(text: str) -> int:
        return words.setdefault(text, len(words))

    def placed(at: Sequence[int]) -> int:
        steps = (row - before for row, before in zip(at, (0, *at), strict=False))
        return places.setdefault(tuple(steps), len(places))

    for cell, found in cells:
        corrections = titles(cell)
        at = {(line.family, line.method, line.labelling): i for i, line in enumerate(found)}
        shared = [
            [
                word(line.family),
                word(naming.called(task_title(line.family, line.task), cell.modalities)),
                word(naming.called(method_title(line, corrections), cell.modalities)),
                word(line.labelling),
                -1 if line.native else at.get((line.family, line.task, line.labelling), -1),
                names.index(main_metric(line)) if line.metrics else -1,
                1 if line.correction else 0,
            ]
            for line in found
        ]
        number = lists.setdefault(repr(shared), len(lists))
        if number == len(rows):
            rows.append(shared)
        of.append(number)
        columns = _columns(found, rates)
        values = {
            str(i): [placed([*columns[name]]), [*columns[name].values()]]
            for i, name in enumerate(names)
            if name in columns
        }
        tested, tests = _tests(found, shared)
        made.append({"metrics": values, "tests": [placed(tested), *tests] if tested else []})
    common = {
        "words": list(words),
        "names": [[name, int(is_rate(name))] for name in names],
        "rows": rows,
        "places": list(map(list, places)),
        "of": of,
        "compared": [int(any(map(_compared, found))) for _, found in cells],
    }
    return common, made


def _columns(found: Sequence[Line], rates: Mapping[str, bool]) -> dict[str, dict[int, float | int]]:
    """Metric → line → value, of those that there are."""
    columns: dict[str, dict[int, float | int]] = {}
    for row, line in enumerate(found):
        for name, value in line.metrics.items():
            if (shown := scaled(value, rates[name])) is not None:
                columns.setdefault(name, {})[row] = shown
    return columns


def _tests(found: Sequence[Line], shared: Sequence[Sequence[int]]) -> tuple[list[int], list[list]]:
    """The lines that were tested, and the columns of their tests, as `packed` has them."""
    tested = [(row, line.test) for row, line in enumerate(found) if line.test is not None]
    ends = [_ends(test, _derived(found, shared, row)) for row, test in tested]
    columns = [*map(list, zip(*ends, strict=True))]
    columns += [
        [float(test[name]) if present(test[name]) else None for _, test in tested]
        for name in ("p", "p_adjusted")
    ]
    columns.append([test["queries"] for _, test in tested])
    return [row for row, _ in tested], columns


def _compared(line: Line) -> bool:
    """Whether the figure of differences may show it."""
    return not line.native and bool(line.metrics) and line.family != "clustering"


def _derived(found: Sequence[Line], shared: Sequence[Sequence[int]], row: int) -> int:
    """The difference of two values as the page has them, in 1e-4, halves upwards; 0 where one is missing."""
    base, metric = shared[row][4], main_metric(found[row])
    if base < 0 or not is_rate(metric):
        return 0
    value, other = (scaled(found[at].metrics.get(metric)) for at in (row, base))
    return 0 if value is None or other is None else int(value - other + 50) // 100


def _ends(test: Mapping[str, Any], derived: int) -> tuple[int | None, int | None, int | None]:
    """Of a test: the difference above the derived one, and the ends of its interval, as `packed` has them."""
    difference, low, high = (_points(test[name]) for name in ("difference", "low", "high"))
    middle = difference or 0
    below = None if low is None else middle - low
    return (
        None if difference is None else difference - derived,
        below,
        None if high is None else high - middle - (below or 0),
    )


def scaled(value: float | None, rate: bool = True) -> float | int | None:
    """A rate in 1e-6, a count as it is, any other number to six digits; None where it is missing."""
    if not present(value):
        return None
    if rate:
        return round(1_000_000 * value)
    return float(value if isinstance(value, int) else f"{value:.6g}")


def _points(value: float | None) -> int | None:
    return round(10_000 * value) if present(value) else None


def _place(line: Line) -> tuple:
    """Families and tasks as the page orders them; methods without a correction first; captions' groups first."""
    family = _FAMILIES.index(line.family) if line.family in _FAMILIES else len(_FAMILIES)
    shots = re.match(r"first-(\d+)|(\d+)-shot", line.task)
    task = _ORDER.index(line.task) if line.task in _ORDER else len(_ORDER)
    method = (bool(line.correction), not line.native, line.method)
    return (
        bool(line.correction),
        family,
        line.family,
        task,
        (bool(shots[1]), int(shots[1] or shots[2])) if shots else (False, 0),
        line.task,
        method,
        *_labelling(line.labelling),
    )


def _labelling(name: str) -> tuple[bool, str]:
    return name != in_order(("group", name))[0], name
