"""Disk space and time that cells take: the number of items times what one item takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossgap.backbones import towers
from crossgap.inversion.distil_recipe import TAUGHT, WIDER
from crossgap.params import Params
from crossgap.params.sections import Weights
from crossgap.planning.cells import INVERSIONS, StageCell
from crossgap.planning.items import ItemCounts, distilled, inverted
from crossgap.planning.probe import Asked, Speeds

if TYPE_CHECKING:
    from crossgap.catalogue.backbones import Described

FLOAT = 4  # bytes
ESTIMATED = ("encode", "distil", *INVERSIONS)


@dataclass(frozen=True)
class Cost:
    """What some cells take together.

    Attributes:
        items: how many are encoded or inverted.
        bytes: size of the stores.
        seconds: None if no speeds were measured.
        unknown: how many cells are left out of these numbers, since their items or sizes are not known.
    """

    items: int = 0
    bytes: int = 0
    seconds: float | None = None
    unknown: int = 0


def built_as(params: Params, backbone: str) -> Weights:
    """A backbone's weights; for a trained one, those that it starts from, which are as large and as fast."""
    if backbone in params.finetune:
        return params.backbones[params.finetune[backbone].backbone].weights
    if backbone in params.pretrain and "nano" in params.backbones:
        return params.backbones["nano"].weights
    return params.backbones[backbone].weights


def asked(cells: Iterable[StageCell], params: Params, sample: tuple[str, str] | None = None) -> list[Asked]:
    """The measurements that these cells need: one for all backbones of the same architecture and precision."""
    tokens: dict[tuple[str, str], set[int]] = defaultdict(set)
    patches: dict[tuple[str, str], set[int]] = defaultdict(set)
    encoded = set()
    for cell in cells:
        if cell.stage not in ESTIMATED:
            continue
        weights = built_as(params, cell.backbone)
        key = (weights.model, weights.precision)
        tokens[key], patches[key]  # so that every model is there
        if cell.stage == "encode":
            encoded.add(key)
        elif towers.image_only(weights.model):
            continue
        elif cell.method == "oti":
            tokens[key].add(cell.tokens or params.backbones[cell.backbone].oti.tokens)
        else:
            patches[key].add(params.backbones[cell.backbone].ovi.patches)
    machine = params.machine
    return [
        Asked(
            *key,
            device=machine.device,
            batch_size=machine.batch_size,
            workers=machine.workers,
            inversion_batch_size=None
            if machine.inversion_batch_size == "auto"
            else machine.inversion_batch_size,
            template=params.oti.template,
            tokens=sorted(tokens[key]),
            patches=sorted(patches[key]),
            images=key in encoded,
            texts=key in encoded and "text" in towers.modalities(key[0]),
            sample=sample,
        )
        for key in tokens
    ]


def cost(
    cells: Iterable[StageCell],
    params: Params,
    items: Mapping[str, ItemCounts | None],
    sizes: Mapping[str, Described | None],
    speeds: Mapping[tuple[str, str], Speeds] | None = None,
) -> Cost:
    """Items, bytes of stores and seconds of cells that encode or invert; other cells count nothing.

    Args:
        items: by dataset.
        sizes: model → its sizes; None, or absent, where not known.
        speeds: (model, precision) → its speeds.
    """
    total, room, seconds, unknown = 0, 0, 0.0, 0
    for cell in cells:
        if cell.stage not in ESTIMATED:
            continue
        weights = built_as(params, cell.backbone)
        held, size = items[cell.dataset], sizes.get(weights.model)
        speed = speeds.get((weights.model, weights.precision)) if speeds is not None else None
        if held is None or size is None or (speeds is not None and speed is None):
            unknown += 1
            continue
        count = {"encode": _encoded, "distil": _distilled}.get(cell.stage, _inverted)
        some = count(cell, params, held, size, speed)
        total, room, seconds = total + some[0], room + some[1], seconds + some[2]
    return Cost(total, room, seconds if speeds is not None else None, unknown)


def _encoded(
    cell: StageCell, params: Params, items: ItemCounts, size: Described, speed: Speeds | None
) -> tuple[int, int, float]:
    total, room, seconds = 0, 0, speed.start if speed else 0.0
    for modality in towers.modalities(built_as(params, cell.backbone).model):
        number = items.total(modality)
        total += number
        room += number * (size.dim + size.widths.get(modality, 0)) * FLOAT
        if speed and number:
            seconds += items.distinct[modality] * getattr(speed, modality)
    return total, room, seconds


def _inverted(
    cell: StageCell, params: Params, items: ItemCounts, size: Described, speed: Speeds | None
) -> tuple[int, int, float]:
    if towers.image_only(built_as(params, cell.backbone).model):
        return 0, 0, 0.0  # the store is empty and says why
    section = getattr(params, cell.method)
    row = params.backbones[cell.backbone]
    number = (cell.tokens or row.oti.tokens) if cell.method == "oti" else row.ovi.patches
    # a pseudo-token is as wide as its tower
    learned = number * size.widths.get("text" if cell.method == "oti" else "image", size.dim)
    recipe = section.recipe
    if cell.stage == "distilled":
        recipe = getattr(params.distil, cell.method).continued(section)
    kept = size.dim + 1 + (learned if recipe.snapshot_tokens else 0)
    total = inverted(cell, params, items)
    room = total * (learned + size.dim + 1 + len(recipe.reached) * kept) * FLOAT
    if speed is None:
        return total, room, 0.0
    # what is last is looked at once more: all there is of φ alone
    steps = max(recipe.steps, 1)
    return total, room, speed.start + steps * speed.seconds_a_step(cell.method, number, total)


def _distilled(
    cell: StageCell, params: Params, items: ItemCounts, size: Described, speed: Speeds | None
) -> tuple[int, int, float]:
    """As many forward and backward passes as φ's epochs and, where it is taught tokens, as these take."""
    if towers.image_only(built_as(params, cell.backbone).model):
        return 0, 0, 0.0
    section, row = getattr(params, cell.method), params.backbones[cell.backbone]
    number = row.oti.tokens if cell.method == "oti" else row.ovi.patches
    width = size.widths.get("text" if cell.method == "oti" else "image", size.dim)
    total, hidden = distilled(cell, params, items), WIDER * size.dim
    room = (hidden * (size.dim + hidden + number * width + 2) + number * width) * FLOAT
    if speed is None:
        return total, room, 0.0
    epochs = 0 if cell.loss == "tokens" else getattr(params.distil, cell.method).epochs
    taught = section.recipe.steps if cell.loss in TAUGHT else 0
    step = (speed.tokens if cell.method == "oti" else speed.patches)[number]
    seconds = epochs * total * step + taught * speed.seconds_a_step(cell.method, number, total)
    return total, room, speed.start + seconds
