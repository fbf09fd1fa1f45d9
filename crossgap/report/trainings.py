"""The report's part on fine-tuned backbones: what the loss does to the gap, and with it to the tasks."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

from crossgap import naming
from crossgap.errors import CrossgapError
from crossgap.losses import SUMS, TEMPERED
from crossgap.relevances import uncounted
from crossgap.report import blocks
from crossgap.report.blocks import Block
from crossgap.report.idealised import over_seeds
from crossgap.report.published import COLUMNS as PUBLISHED
from crossgap.report.results import Results, check_columns
from crossgap.report.tables import MISSING, absent, decimal, group, percent, points, present, words

if TYPE_CHECKING:
    from pandas import DataFrame

FIELDS = ("backbone", "losses", "width", "temperature", "learn_temperature", "seed", "silent_on")
DRAWN = {"loss": "loss", "centroid_distance": "centroid distance", "matching_cosine": "matching cosine"}
PAPER = "2405.18570"


@dataclass(frozen=True, eq=False)
class Training:
    """What the stage `finetune` wrote of one row of params.yaml.

    Attributes:
        name: of the row, and of the backbone that it makes.
        recipe: every field of `crossgap.training.finetune_recipe.Finetune`.
        curves: `step` and the measures over time; empty without any.
    """

    name: str
    recipe: Mapping[str, Any]
    curves: DataFrame

    @property
    def losses(self) -> str:
        """The sum's name where all weights are 1 and it has one, else its terms with their weights."""
        weights = self.recipe["losses"]
        for name, terms in SUMS.items():
            if weights == dict.fromkeys(terms, 1):
                return name.upper()
        shown = (
            f"{'' if weight == 1 else f'{naming.number(weight)} '}{term}" for term, weight in weights.items()
        )
        return " + ".join(shown).replace("_", " ")

    @property
    def configuration(self) -> str:
        """The recipe but for its seed: the same text for the same."""
        return json.dumps({**self.recipe, "seed": None}, sort_keys=True)


class _Column(NamedTuple):
    """A number of a cell: how it is found, and how a value of it and a deviation are shown."""

    head: str
    value: Callable[[Mapping[str, float]], float | None]
    shown: Callable[[float | None], str]
    deviation: Callable[[float], str]


def view(trainings: Sequence[Training], cells: Sequence[Results], published: DataFrame | None) -> list[Block]:
    """All that the page shows of the trainings; empty without any.

    Raises CrossgapError if two have one name, a recipe lacks one of `FIELDS`, or curves lack `step`.
    """
    if not trainings:
        return []
    seen: set[str] = set()
    for training in trainings:
        if training.name in seen:
            raise CrossgapError(f"trainings: {training.name} is there twice; give each row once")
        seen.add(training.name)
        if lacking := [field for field in FIELDS if field not in training.recipe]:
            raise CrossgapError(
                f"training {training.name}: recipe without {', '.join(lacking)}; train it again"
            )
        if not training.curves.empty:
            check_columns(f"training {training.name}: curves", training.curves, ("step",))
    made = [
        block
        for name in dict.fromkeys(cell.dataset for cell in cells)
        for block in _of_dataset(name, trainings, cells)
    ]
    if not made:
        made.append(blocks.text("None of them was evaluated: name them in run.backbones."))
    made += curves(trainings)
    recipes = [(training.name, words(training.recipe)) for training in trainings]
    made.append(blocks.table("The recipes", ("backbone", "recipe"), recipes, folded=True))
    return made if published is None else made + _published(published)


def _of_dataset(dataset: str, trainings: Sequence[Training], cells: Sequence[Results]) -> list[Block]:
    """The table of a dataset, and that over seeds; nothing where no trained backbone was evaluated."""
    metrics = {cell.backbone: _of_labellings(cell) for cell in cells if cell.dataset == dataset}
    there = [training for training in trainings if training.name in metrics]
    if not there:
        return []
    silent = sorted({labelling for training in there for labelling in training.recipe["silent_on"]})
    columns = list(_columns(silent, [metrics[training.name] for training in there]))
    settings = ["losses", "d", "temperature", *(["silent on"] if silent else [])]
    rows = []
    for base in dict.fromkeys(training.recipe["backbone"] for training in there):
        untrained = (base, "not fine-tuned", "own", *[MISSING] * (len(settings) - 1))
        rows.append((*untrained, *_numbers(metrics.get(base, {}), columns)))
        for training in there:
            if training.recipe["backbone"] == base:
                heading = (training.name, *_settings(training, bool(silent)), str(training.recipe["seed"]))
                rows.append((*heading, *_numbers(metrics[training.name], columns)))
    spread = []
    for seeds in _configurations(there):
        if len(seeds) > 1:
            heading = (seeds[0].recipe["backbone"], *_settings(seeds[0], bool(silent)), str(len(seeds)))
            of = [metrics[training.name] for training in seeds]
            spread.append((*heading, *(_spread([column.value(m) for m in of], column) for column in columns)))
    heads = [column.head for column in columns]
    caption = (
        f"{dataset}: fine-tuned backbones, and what they started from; recall, accuracy, mAP and arithmetic in "
        "percent, the gain in points"
    )
    made = [blocks.table(caption, ["backbone", *settings, "seed", *heads], rows)]
    if spread:
        over = f"{dataset}: mean ± standard deviation over seeds of the same recipe"
        made.append(blocks.table(over, ["from", *settings, "seeds", *heads], spread))
    return made


def _configurations(trainings: Iterable[Training]) -> list[list[Training]]:
    """Trainings that differ in their seed alone, together; a seed that is there twice counts once."""
    found: dict[str, dict[int, Training]] = defaultdict(dict)
    for training in trainings:
        found[training.configuration].setdefault(training.recipe["seed"], training)
    return [list(seeds.values()) for seeds in found.values()]


def _settings(training: Training, silent: bool) -> tuple[str, ...]:
    recipe = training.recipe
    temperature = naming.number(recipe["temperature"])
    if not recipe["losses"].keys() & TEMPERED:
        temperature = MISSING
    elif recipe["learn_temperature"]:
        temperature = f"learned from {temperature}"
    return (
        training.losses,
        "own" if recipe["width"] is None else str(recipe["width"]),
        temperature,
        *([words(recipe["silent_on"])] if silent else []),
    )


def _columns(silent: Sequence[str], trained: Sequence[Mapping[str, float]]) -> Iterable[_Column]:
    """The numbers of a table; zero-shot by the labellings not named, and arithmetic, where there are any."""
    yield _decimal("centroid distance", "gap/centroid_distance")
    yield _decimal("linear separability", "gap/linear_separability")
    yield _decimal("uniformity, images", "gap/uniformity_image")
    yield _decimal("uniformity, texts", "gap/uniformity_text")
    yield _decimal("alignment", "gap/alignment")
    for task in ("text-image", "image-text"):
        yield _percent(f"{task} recall@1", methodcaller("get", f"retrieval/{task}/group/recall@1"))
    yield _percent("zero-shot", lambda m: _mean(_zero_shot(m).values()))
    for name in silent:
        if any(name in _zero_shot(m) for m in trained):
            yield _percent(f"zero-shot by {name}", partial(_zero_shot_by, name))
    yield _percent("image-image mAP", lambda m: _mean(_precision(m, "image-image").values()))
    if any(_joint(m) for m in trained):
        yield _percent("clusters of both, AMI", lambda m: _mean(_joint(m).values()))
    yield _Column("OTI-image, gain", _gain, _signed, percent)
    if any(_arithmetic(m) for m in trained):
        yield _percent("arithmetic", lambda m: _mean(_arithmetic(m)))


def _decimal(head: str, key: str) -> _Column:
    return _Column(head, methodcaller("get", key), decimal, decimal)


def _percent(head: str, value: Callable[[Mapping[str, float]], float | None]) -> _Column:
    return _Column(head, value, percent, percent)


def _signed(value: float | None) -> str:
    return points(value) if present(value) else MISSING


def _zero_shot_by(labelling: str, metrics: Mapping[str, float]) -> float | None:
    return _zero_shot(metrics).get(labelling)


def _zero_shot(metrics: Mapping[str, float]) -> dict[str, float]:
    """Accuracy by labelling."""
    found = group(metrics, "classification")
    return {
        of: value
        for (task, of, metric), value in found.items()
        if (task, metric) == ("image-text", "accuracy")
    }


def _of_labellings(cell: Results) -> dict[str, float]:
    """The metrics but for those by `relevances.uncounted`."""
    relevance_of = {key: naming.parts_of(key)[2] for key in cell.metrics}
    aside = uncounted(relevance_of.values(), cell.subsets)
    return {key: value for key, value in cell.metrics.items() if relevance_of[key] not in aside}


def _precision(metrics: Mapping[str, float], task: str) -> dict[str, float]:
    """mAP by labelling: those with a zero-shot accuracy, which controls don't have; without any, all that there are."""
    named = _zero_shot(metrics)
    return {
        of: value
        for (at, of, metric), value in group(metrics, "retrieval").items()
        if (at, metric) == (task, "mAP") and (of in named if named else of != "group")
    }


def _gain(metrics: Mapping[str, float]) -> float | None:
    native, inverted = _precision(metrics, "image-image"), _precision(metrics, "oti-image")
    both = [of for of in native if of in inverted and not absent(native[of]) and not absent(inverted[of])]
    return _mean(inverted[of] - native[of] for of in both)


def _joint(metrics: Mapping[str, float]) -> dict[str, float]:
    """By labelling, how well clusters of images and captions together agree with it."""
    found = group(metrics, "clustering")
    return {of: value for (what, of, measure), value in found.items() if (what, measure) == ("joint", "ami")}


def _arithmetic(metrics: Mapping[str, float]) -> list[float]:
    """Test scores at λ = 1, one a protocol."""
    return [metrics[key] for key in sorted(metrics) if re.fullmatch("arithmetic/.+/test/score", key)]


def _mean(values: Iterable[float | None]) -> float | None:
    every = list(values)
    there = list(filter(present, every))
    return mean(there) if there and len(there) == len(every) else None


def _numbers(metrics: Mapping[str, float], columns: Iterable[_Column]) -> list[str]:
    return [column.shown(column.value(metrics)) for column in columns]


def _spread(values: Sequence[float | None], column: _Column) -> str:
    """Mean ± standard deviation of a sample, over seeds; missing where one of them is."""
    there = list(filter(present, values))
    if len(there) < len(values):
        return MISSING
    return f"{column.shown(mean(there))} ± {column.deviation(stdev(there))}"


def curves(trainings: Sequence[Training]) -> list[Block]:
    """Curves of all trainings, a line a recipe; nothing where there are none."""
    import pandas as pd

    lines: dict[str, DataFrame] = {}
    for seeds in _configurations(trainings):
        tables = [training.curves for training in seeds if not training.curves.empty]
        if tables:
            name = seeds[0].name + (f" and {len(tables) - 1} more" if len(tables) > 1 else "")
            lines[name] = pd.concat(tables, ignore_index=True)
    measures = {
        title: measure
        for measure, title in DRAWN.items()
        if any(measure in table for table in lines.values())
    }
    if not measures:
        return []
    caption = (
        "Over the steps of each training, of its batches; a line is the mean over the seeds of a recipe, the band goes "
        "from the lowest to the highest. Losses with other terms or another temperature are on scales of their own: "
        "compare where they go, not how high they are."
    )
    return [over_seeds(caption, measures, lines)]


def _published(published: DataFrame) -> list[Block]:
    """Figures that the paper and its code report of fine-tuned backbones, as they give them: a table a source.

    Raises CrossgapError if a column is missing.
    """
    check_columns("published", published, PUBLISHED)
    tables: dict[str, dict[tuple[str, ...], dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in published[list(PUBLISHED)].to_dict("records"):
        if row["source"].split()[0] == PAPER:
            of = (
                row["model"],
                row["dataset"],
                row["task"],
                row["metric"].replace("_", " "),
                words(row["setting"]),
            )
            tables[row["source"]][of][row["method"]] = row["value"]
    found = []
    for source, rows in tables.items():
        methods = list(dict.fromkeys(method for values in rows.values() for method in values))
        shown = [
            (*of, *(f"{values[method]:g}" if method in values else MISSING for method in methods))
            for of, values in rows.items()
        ]
        heads = ["model", "dataset", "task", "metric", "setting", *map(str.upper, methods)]
        caption = f"As the paper reports it, in its own units: {source}"
        found.append(blocks.table(caption, heads, shown, folded=True))
    return found
