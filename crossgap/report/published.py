"""Published figures beside measured ones: which of them are of the same backbone, dataset and task."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from crossgap.catalogue import entries
from crossgap.catalogue.datasets import known, names, plain
from crossgap.report.results import Results, check_columns
from crossgap.report.sources import titles
from crossgap.report.tables import absent, group, in_order, percent, points, present, title, words

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("source", "model", "dataset", "task", "method", "metric", "value", "setting")
_TASKS = {  # as published → family, and the task that a correction is named after
    "image-to-image": ("retrieval", "image-image"),
    "text-to-text": ("retrieval", "text-text"),
    "text-to-image": ("retrieval", "text-image"),
    "image-to-text": ("retrieval", "image-text"),
    "zero-shot": ("classification", "image-text"),
    "few-shot": ("classification", ""),
}
# backbones of the catalogue whose published figures name neither open_clip's model nor its weights
_CALLED = {"slip-b16": "SLIP/ViT-B-16", "slip-l16": "SLIP/ViT-L-16", "dinov3-l16": "DINOv3 L/16"}
_SHOTS = re.compile(r"(\d+) shots? per class; (no text|text weight \.5)")
# in a model's name; a wrong activation is refused elsewhere
_WITHOUT_MEANING = {"quickgelu", "clip", "openclip"}


class PublishedRow(NamedTuple):
    """A measured figure beside a published one, both in percent."""

    task: str
    relevance: str
    metric: str
    measured: str
    published: str
    difference: str
    source: str
    protocol: str


def model_key(name: str) -> frozenset[str]:
    """A model with its weights, however they are written: `ViT-B/32 openai` is `openai/ViT-B-32`."""
    return frozenset(re.findall(r"[a-z0-9]+", name.lower())) - _WITHOUT_MEANING


def dataset_key(name: str) -> str:
    """A dataset, however it is written: `oxford_flowers` is `Flowers`; the catalogue's name, where it has one."""
    return names().get(plain(name), plain(name))


def beside(cell: Results, published: DataFrame) -> list[PublishedRow]:
    """The published figures of the cell's backbone and dataset that the cell has measured, in the table's order.

    `published` has the columns `COLUMNS`, values in percent. A figure for one dataset stands beside the labelling
    `class`, else beside every labelling that the task was measured by.

    Raises CrossgapError if a column is missing.
    """
    check_columns("published", published, COLUMNS)
    backbones = {model_key(_model(cell))}
    backbones |= {model_key(called) for name, called in _CALLED.items() if is_backbone(cell, name)}
    dataset = dataset_key(cell.published or cell.dataset)
    found: list[PublishedRow] = []
    for figure in published.to_dict("records"):
        if (
            figure["task"] in _TASKS
            and not figure["dataset"].startswith("average")
            and model_key(figure["model"]) in backbones
            and dataset_key(figure["dataset"]) == dataset
        ):
            found += _rows(cell, figure, dataset)
    return found


def is_backbone(cell: Results, name: str) -> bool:
    """Whether a cell is of the backbone, by its name or by its model and weights."""
    rows = entries.rows("backbones")
    if cell.backbone == name or name not in rows:
        return cell.backbone == name
    weights = rows[name]["weights"]
    return model_key(_model(cell)) == model_key(f"{weights['model']} {weights.get('pretrained') or ''}")


def _model(cell: Results) -> str:
    made_by = cell.provenance.get("backbone_provenance")
    if not isinstance(made_by, Mapping) or not made_by.get("model"):
        return cell.backbone
    return f"{made_by['model']} {made_by.get('pretrained') or ''}"


def _rows(cell: Results, figure: Mapping[str, Any], dataset: str) -> Iterable[PublishedRow]:
    family, uncorrected = _TASKS[figure["task"]]
    if figure["task"] == "few-shot":
        task = _few_shot(figure["method"], figure["setting"])
    else:
        task = figure["method"] if "-" in figure["method"] else f"{uncorrected}+{figure['method']}"
    values, metric = group(cell.metrics, family), figure["metric"]
    relevances = in_order(of for at, of, name in values if (at, name) == (task, metric))
    for relevance in _judged_by(task, relevances):
        measured = values[task, relevance, metric]
        if absent(measured):
            continue
        wanted = figure["value"] / 100
        base, _, correction = task.partition("+")
        protocol = protocol_of(cell, family, dataset)
        setting = words(figure["setting"])
        yield PublishedRow(
            title(base) + (f", {titles(cell)[correction]}" if correction else ""),
            relevance,
            metric,
            percent(measured),
            percent(wanted),
            points(measured - wanted) if present(wanted) else "",
            figure["source"],
            protocol if absent(figure["setting"]) else f"{setting}; {protocol}",
        )


def _few_shot(method: str, setting: Any) -> str:
    """`gda_pca_plus`, `2 shots per class; text weight .5; …` is `2-shot-gda_text+pca_plus`; "" for another setting."""
    held = _SHOTS.match(words(setting))
    if held is None:
        return ""
    probe, _, correction = method.partition("_")
    task = f"{held[1]}-shot" + ("-gda" if probe == "gda" else "") + ("_text" if held[2] != "no text" else "")
    return f"{task}+{correction}" if correction else task


def _judged_by(task: str, relevances: Sequence[str]) -> Sequence[str]:
    if task.startswith(("text-", "ovi-")):
        return [name for name in relevances if name == "group"]
    if "class" in relevances:
        return ["class"]
    across = task == "image-text"  # as a retrieval: its classification is by no group
    return [name for name in relevances if across or name != "group"]


def protocol_of(cell: Results, family: str, dataset: str) -> str:
    """Whether the splits are those published, and which they are where not."""
    fields = ("query", "gallery") if family == "retrieval" else ("query",)
    if dataset not in known() or known()[dataset].protocol is None:
        return "published splits not known here"
    row = entries.rows("datasets")[dataset]
    if row.get("controls", {}).get("protocol") == "revisited":
        return "published: the dataset's own queries and gallery"
    pairs = {field: row["retrieval"][field] for field in fields}
    here = {field: getattr(cell, field) for field in fields}
    if None in here.values():
        return f"published: {_said(pairs)}; here: not recorded"
    return "same splits" if here == pairs else f"published: {_said(pairs)}; here: {_said(here)}"


def _said(splits: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {split}" for name, split in splits.items())
