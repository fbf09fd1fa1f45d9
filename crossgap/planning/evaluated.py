"""Which evaluations there are, what they do and how long they take, by the items of a cell or by a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from crossgap import corrections
from crossgap.corrections import Material
from crossgap.naming import OTHERS
from crossgap.params import Params
from crossgap.planning.cells import StageCell
from crossgap.planning.estimate import Cost
from crossgap.planning.items import ItemCounts
from crossgap.planning.operations import Inverted, PlannedEvaluation
from crossgap.planning.rates import Rates
from crossgap.prepared import manifest
from crossgap.stores.store import Store

STAGES = ("evaluate", "evaluate-import")
NOT_INVERTED = Inverted()
WIDTH = 16  # of the noise that corrections are fitted on, to see which there are


def of_cell(cell: StageCell, params: Params, items: ItemCounts, projections: bool) -> PlannedEvaluation:
    """The evaluation of a backbone's features on a dataset.

    Args:
        projections: whether the towers have last projections that stand apart.
    """
    declared, run = params.datasets[cell.dataset], params.run
    sizes = {f"image/{split}": number for split, number in items.images.items()}
    sizes |= {f"text/{split}": number for split, number in items.texts.items()}
    query = declared.retrieval.query
    found = {}
    for method in ("oti", "ovi"):
        section = getattr(params, method)
        main = getattr(run, method).has(cell.backbone, cell.dataset)
        others = (
            len(run.sweep.tokens) if method == "oti" and run.sweep.has(cell.backbone, cell.dataset) else 0
        )
        steps = len({*section.recipe.reached, section.recipe.steps})
        seeded = method in run.seeds.methods and run.seeds.has(cell.backbone, cell.dataset)
        distil, by_phi, ways = run.distil, 0, int(main)
        if method in distil.methods and distil.has(cell.backbone, cell.dataset):
            continued = getattr(params.distil, method).continued(section)
            points = len({*continued.reached, continued.steps}) + (continued.steps > 0)
            by_phi = len(distil.sources) * len(distil.losses) * points
            ways += len(distil.sources) * len(distil.losses) * (1 + (continued.steps > 0))
        found[method] = Inverted(
            (main + others) * steps + by_phi, len(run.seeds.seeds) * seeded, main and section.gallery, ways
        )
    first = items.first.get(query, 0) if query in items.captions else 0
    datasets = [name for name in params.evaluate.fit_on.datasets if name != cell.dataset]
    places = [*datasets, *([OTHERS] if len(datasets) > 1 else []), *params.evaluate.fit_on.of(cell.backbone)]
    return _task(declared, params, sizes, items.classes, first, projections, **found, places=places)


def of_import(store: Store, declared: Any, params: Params, name: str = "") -> PlannedEvaluation:
    """The evaluation of an imported store, which is called `name`."""
    sizes, classes = {}, {}
    for held in store.groups:
        group = store[held]
        sizes[held] = len(group)
        labels = {labelling: len(set(values) - {""}) for labelling, values in group.labels.items()}
        classes[held] = {labelling: number for labelling, number in labels.items() if number}
    texts, first = f"text/{declared.retrieval.query}", 0
    if texts in store and "group" in store[texts] and any(store[texts]["group"]):
        first = int((store[texts]["rank"] == 0).sum()) if "rank" in store[texts] else len(store[texts])
    places = list(params.evaluate.fit_on.of(name, declared.backbone))
    return _task(declared, params, sizes, classes, first, bool(store.projections), places=places)


def _task(
    declared: Any,
    params: Params,
    sizes: Mapping[str, int],
    classes: Mapping[str, Mapping[str, int]],
    first: int,
    projections: bool,
    oti: Inverted = NOT_INVERTED,
    ovi: Inverted = NOT_INVERTED,
    places: Sequence[str] = (),
) -> PlannedEvaluation:
    asked, controls = declared.retrieval, declared.controls
    if asked.labellings is not None:
        classes = {
            name: {labelling: number for labelling, number in held.items() if labelling in asked.labellings}
            for name, held in classes.items()
        }
    support = controls.support or (asked.gallery if asked.gallery != asked.query else None)
    others = {controls.support, asked.gallery} - {asked.query, None}
    paired = first > 0 and any(sizes.get(f"image/{split}") and sizes.get(f"text/{split}") for split in others)
    banks = {name.partition("/")[0] for name in sizes if name.partition("/")[2] in others}
    return PlannedEvaluation(
        sizes,
        classes,
        first,
        asked.query,
        asked.gallery,
        support,
        oti,
        ovi,
        _fitted(params.evaluate.corrections, sizes, paired, projections, banks, places),
        len(controls.subsets),
        tuple(controls.arithmetic),
        params.evaluate.model_dump(),
    )


def _fitted(
    names: list[str] | None,
    sizes: Mapping[str, int],
    paired: bool,
    projections: bool,
    banks: Iterable[str],
    places: Sequence[str],
) -> tuple[str, ...]:
    """Names of the corrections that can be fitted where there is this: they are, on noise; and in other places too."""
    rng = np.random.default_rng(0)

    def noise() -> np.ndarray:
        return rng.normal(size=(4 * WIDTH, WIDTH)).astype(np.float32)

    modalities = {name.partition("/")[0] for name in sizes}
    weights = {modality: rng.normal(size=(WIDTH, WIDTH)) for modality in modalities} if projections else {}
    found, _ = corrections.fitted(
        Material(
            images=noise() if "image" in modalities else None,
            texts=noise() if "text" in modalities else None,
            vocabulary=noise() if f"text/{manifest.VOCABULARY}" in sizes else None,
            vocabulary_photo=noise() if f"text/{manifest.VOCABULARY_PHOTO}" in sizes else None,
            styles=noise() if f"text/{manifest.STYLES}" in sizes else None,
            pairs=(noise(), noise()) if paired else None,
            banks={modality: noise() for modality in sorted(banks)},
            weights=weights,
        ),
        names,
    )
    on_features = [name for name in found if corrections.rival_of(name) in corrections.FITTED]
    return (*found, *(f"{name}@{place}" for place in places for name in on_features))


def cost(tasks: list[tuple[PlannedEvaluation, int] | None], rates: Mapping[int, Rates] | None) -> Cost:
    """What evaluations take together.

    Args:
        tasks: with the width of their features; None where that or their items are not known.
        rates: by width; None where nothing was measured.
    """
    known = [held for held in tasks if held is not None]
    seconds = None if rates is None else sum(task.seconds(rates[width]) for task, width in known)
    return Cost(seconds=seconds, unknown=sum(held is None for held in tasks))
