"""All measures of one cell: stores in, flat metrics and a per-query table out.

Which tasks a cell has follows from what its stores hold: images, captions, class prompts, labellings, inversions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from crossgap import classification, retrieval
from crossgap.arrays import unit_rows
from crossgap.gap import gap_metrics
from crossgap.store import Group, Store

CLASSES = "text/classes"
GROUP = "group"
_ACROSS = ("text-image", "image-text")
_SHOWN = ("mAP", "mAP@R", "R-precision", "recall@1", "recall@5", "recall@10")
_PER_QUERY = ["ap", "ap_at_r", "r_precision", "recall@1", "recall@5", "recall@10"]


class EvaluationError(ValueError):
    """The stores of a cell don't fit each other or the protocol."""


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        metrics: flat, `retrieval/<query>-<gallery>/<relevance>/<metric>` and the like; rates are fractions.
        queries: one row a task and query: `task`, `relevance`, `query`, `ap`, `ap_at_r`, `r_precision`, `recall@k`.
        clouds: the features on the first two principal components of images and texts: `x`, `y`, `modality`, `id`.
    """

    metrics: dict[str, float | int]
    queries: pd.DataFrame
    clouds: pd.DataFrame


@dataclass(frozen=True)
class Items:
    """Items of one modality and split: features `(n, d)`, native or inverted, with what is known of each."""

    features: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    ranks: np.ndarray
    labels: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, group: Group) -> Items:
        """The items of a store's group; without a `group` column, texts belong to no image."""
        groups = group["group"] if "group" in group else np.full(len(group), "", object)
        ranks = group["rank"] if "rank" in group else np.zeros(len(group), np.int64)
        return cls(group.features, group.ids, groups, ranks, group.labels)

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, rows: np.ndarray) -> Items:
        """The items of a boolean mask or of positions."""
        labels = {name: values[rows] for name, values in self.labels.items()}
        return Items(self.features[rows], self.ids[rows], self.groups[rows], self.ranks[rows], labels)

    def relevance(self, name: str) -> np.ndarray | None:
        """What makes items relevant to each other: the image they belong to, or a labelling, if they have it."""
        return self.groups if name == GROUP else self.labels.get(name)

    def with_features(self, inverted: Group | None) -> Items | None:
        """The same items with inverted features instead; None unless every one was inverted."""
        if inverted is None:
            return None
        index = pd.Index(inverted.ids).get_indexer(self.ids)
        if (index < 0).any():
            return None
        return Items(inverted.features[index], self.ids, self.groups, self.ranks, self.labels)


@dataclass(frozen=True)
class Cell:
    """The stores of one backbone on one dataset and the splits that queries and gallery come from."""

    native: Store
    oti: Store | None
    ovi: Store | None
    query: str
    gallery: str
    labellings: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name, inversion in (("oti", self.oti), ("ovi", self.ovi)):
            if inversion and inversion.provenance.get("inverts") != self.native.provenance["fingerprint"]:
                raise EvaluationError(
                    f"{inversion.path} inverts other features than {self.native.path} holds; "
                    f"run the {name} stage of this cell again"
                )
        for name, split in (("query", self.query), ("gallery", self.gallery)):
            if f"image/{split}" not in self.native and f"text/{split}" not in self.native:
                raise EvaluationError(
                    f"retrieval.{name}: {self.native.path} has no split {split!r}; "
                    f"it holds {', '.join(self.native.groups)}"
                )

    def items(self, name: str) -> Items | None:
        """Native features of a group, if the store has it."""
        return Items.of(self.native[name]) if name in self.native else None

    def inverted(self, items: Items | None, name: str) -> Items | None:
        """`items` with their inverted features, if all of them were inverted."""
        store = self.oti if name.startswith("image/") else self.ovi
        if items is None or store is None or name not in store:
            return None
        return items.with_features(store[name])


def evaluate(cell: Cell, *, seed: int = 0, clouds: int = 500) -> Evaluation:
    """Retrieval, classification and gap of a cell.

    Protocols (Cross the Gap, section 5): only queries are inverted; text-to-text takes each image's first caption
    as the query and the others of all images as the gallery; text-to-image and image-to-text pair all captions of
    the query split with its images.

    Args:
        seed: of the split behind linear separability.
        clouds: points a modality in `clouds`.

    Raises:
        EvaluationError: an inversion of other features, or a split that the store lacks.
    """
    tables = [
        table.assign(task=task, relevance=relevance, query=queries.ids)
        for task, relevance, queries, table in _retrieval(cell)
    ]
    queries = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["task", "relevance"])
    metrics: dict[str, float | int] = {}
    for (task, relevance), table in queries.groupby(["task", "relevance"], sort=False):
        for metric, value in retrieval.summarise(table[[*_PER_QUERY, "relevant"]]).items():
            if metric in _SHOWN or (metric == "queries_without_relevant" and value):
                metrics[f"retrieval/{task}/{relevance}/{metric}"] = value
    metrics |= _classification(cell) | _gap(cell, seed) | _ceiling(cell) | _counts(cell)
    kept = ["task", "relevance", "query", *_PER_QUERY, "relevant"]
    return Evaluation(
        {name: round(value, 6) for name, value in metrics.items() if not np.isnan(value)},
        queries.reindex(columns=kept),
        _clouds(cell, clouds),
    )


def _retrieval(cell: Cell) -> Iterator[tuple[str, str, Items, pd.DataFrame]]:
    for task, relevance, queries, gallery in _tasks(cell):
        wanted, held = queries.relevance(relevance), gallery.relevance(relevance)
        if wanted is None or held is None:
            continue
        table = retrieval.retrieval_metrics(
            queries.features,
            gallery.features,
            wanted,
            held,
            exclude_self=task not in _ACROSS,
            query_ids=queries.ids,
            gallery_ids=gallery.ids,
        )
        yield task, relevance, queries, table


def _tasks(cell: Cell) -> Iterator[tuple[str, str, Items, Items]]:
    """Task, relevance, queries and gallery of every retrieval that the cell's stores allow."""
    images, galleries = f"image/{cell.query}", f"image/{cell.gallery}"
    texts = f"text/{cell.query}"
    query_images, gallery_images = cell.items(images), cell.items(galleries)
    captions = cell.items(texts)

    if query_images and gallery_images:
        for relevance in _labellings(cell, query_images):
            yield from _three(
                "image", "oti", relevance, query_images, gallery_images, cell, images, galleries
            )
    if captions is None:
        return
    if captions.groups.astype(bool).any():
        first, others = captions.where(captions.ranks == 0), captions.where(captions.ranks > 0)
        if len(others):
            yield from _three("text", "ovi", GROUP, first, others, cell, texts, texts)
        if query_images:
            yield "text-image", GROUP, captions, query_images
            yield "image-text", GROUP, query_images, captions
    elif (gallery_texts := cell.items(f"text/{cell.gallery}")) is not None:
        for relevance in _labellings(cell, captions):
            yield from _three(
                "text", "ovi", relevance, captions, gallery_texts, cell, texts, f"text/{cell.gallery}"
            )


def _three(
    native: str, inverted: str, relevance: str, queries: Items, gallery: Items, cell: Cell, of: str, in_: str
) -> Iterator[tuple[str, str, Items, Items]]:
    """Native queries, inverted queries, and both sides inverted, as far as they were."""
    yield f"{native}-{native}", relevance, queries, gallery
    if turned := cell.inverted(queries, of):
        yield f"{inverted}-{native}", relevance, turned, gallery
        if turned_gallery := cell.inverted(gallery, in_):
            yield f"{inverted}-{inverted}", relevance, turned, turned_gallery


def _labellings(cell: Cell, items: Items) -> list[str]:
    return [name for name in items.labels if cell.labellings is None or name in cell.labellings]


def _classification(cell: Cell) -> dict[str, float]:
    images, prompts = cell.items(f"image/{cell.query}"), cell.items(CLASSES)
    if images is None or prompts is None:
        return {}
    pairs = {
        "image-text": (images, prompts),
        "oti-text": (cell.inverted(images, f"image/{cell.query}"), prompts),
        "image-ovi": (images, cell.inverted(prompts, CLASSES)),
    }
    metrics = {}
    for labelling in _labellings(cell, images):
        named = prompts.labels.get(labelling, np.zeros(len(prompts), bool)).astype(bool)
        for task, (queries, anchors) in pairs.items():
            if queries is None or anchors is None or not named.any():
                continue
            anchors = anchors.where(named)
            prototypes, classes = classification.class_prototypes(anchors.features, anchors.labels[labelling])
            table = classification.zero_shot(queries.features, queries.labels[labelling], prototypes, classes)
            metrics[f"classification/{task}/{labelling}/accuracy"] = classification.summarise(table)[
                "accuracy"
            ]
    return metrics


def _gap(cell: Cell, seed: int) -> dict[str, float]:
    """The gap between query images and their first captions; without captions, the class prompts."""
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    paired = captions is not None and captions.groups.astype(bool).any()
    texts = captions if captions is not None else cell.items(CLASSES)
    if images is None or texts is None:
        return {}
    if paired:
        texts = texts.where(texts.ranks == 0)
        index = pd.Index(texts.groups).get_indexer(images.groups)
        images, texts = images.where(index >= 0), texts.where(index[index >= 0])
    measures = gap_metrics(images.features, texts.features, paired=paired, seed=seed)
    return {f"gap/{name}": value for name, value in measures.items()}


def _ceiling(cell: Cell) -> dict[str, float]:
    """The best text-to-image recall@1 to expect where captions say which factors they mention."""
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    if images is None or captions is None:
        return {}
    shared = [name for name in images.labels if name in captions.labels]
    if not shared:
        return {}
    said = np.stack([captions.labels[name] for name in shared], axis=1)
    true = np.stack([images.labels[name] for name in shared], axis=1)
    chances = [1 / ((true == mention) | (mention == "")).all(axis=1).sum() for mention in said]
    return {"retrieval_ceiling/text-image/group/recall@1": float(np.mean(chances))}


def _counts(cell: Cell) -> dict[str, float]:
    counts: dict[str, float] = {}
    for name in cell.native.groups:
        group = cell.native[name]
        counts[f"items/{name}"] = len(group)
        if "truncated" in group:
            counts[f"items/{name}/truncated"] = int(group["truncated"].sum())
    for method, store in (("oti", cell.oti), ("ovi", cell.ovi)):
        if store is not None:
            losses = np.concatenate([store[name].losses for name in store.groups])
            counts |= {
                f"inversion/{method}/items": len(losses),
                f"inversion/{method}/loss": float(losses.mean()),
            }
    return counts


def _clouds(cell: Cell, points: int) -> pd.DataFrame:
    images, texts = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    first = texts.where(texts.ranks == 0) if texts is not None else None
    native = {"image": images, "text": first if first is not None else cell.items(CLASSES)}
    native = {name: _sample(items, points) for name, items in native.items() if items is not None}
    inverted = {
        "oti": cell.inverted(native.get("image"), f"image/{cell.query}"),
        "ovi": cell.inverted(native.get("text"), f"text/{cell.query}"),
    }
    joint = np.concatenate([unit_rows(items.features) for items in native.values()])
    mean = joint.mean(axis=0)
    axes = np.linalg.svd(joint - mean, full_matrices=False)[2][:2]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    frames = []
    for modality, items in (native | inverted).items():
        if items is not None:
            at = (unit_rows(items.features) - mean) @ axes.T
            frames.append(
                pd.DataFrame({"x": at[:, 0], "y": at[:, -1], "modality": modality, "id": items.ids})
            )
    return pd.concat(frames, ignore_index=True).round({"x": 6, "y": 6})


def _sample(items: Items, points: int) -> Items:
    """At most so many items, evenly spread over their order."""
    if len(items) <= points:
        return items
    return items.where(np.linspace(0, len(items) - 1, points).astype(int))
