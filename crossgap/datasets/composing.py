"""Composed queries of a dataset: as a set's own files ask them, and as labels allow them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from crossgap.datasets.drawing import drawn
from crossgap.datasets.reading import ManifestRow, Problem, Reading, without_digests
from crossgap.prepared import manifest
from crossgap.prepared.composed import IGNORED, RELEVANT, Composed, validate

MOST, ANSWERS = 10_000, 2_000_000  # queries that labels allow, of a dataset, and their answers together


class Query(NamedTuple):
    """A composed query: `texts` say the same in several orders; `judged` are images and their roles."""

    id: str
    image: str
    texts: Sequence[str]
    judged: Sequence[tuple[str, str]]
    set: str = ""


def text_id(name: str, rank: int = 0) -> str:
    """Id of a text that is asked."""
    return f"{manifest.COMPOSED}/{name}#{rank}"


def of_queries(
    images: Mapping[str, tuple[str, str | None]],
    queries: Iterable[Query],
    galleries: Iterable[tuple[str, str]] = (),
) -> Reading:
    """A row an image, in the order of their ids, then the texts. Images without a file and empty texts are problems.

    Args:
        images: id → split and path, None where no file was found.
        galleries: as `Composed` has them.
    """
    rows: list[ManifestRow] = []
    problems: list[Problem] = []
    for name in sorted(images):
        split, path = images[name]
        if path is None:
            problems.append(Problem(name, f"image {name}", "no image: nothing under the root is called so"))
        else:
            rows.append((name, "image", split, path, None, name, 0))
    asked, judged = [], []
    for query in queries:
        texts = [text.strip() for text in query.texts]
        if not all(texts):
            problems.append(Problem(query.id, f"query {query.id}", "empty text"))
            continue
        for rank, text in enumerate(texts):
            own = text_id(query.id, rank)
            rows.append((own, "text", manifest.COMPOSED, None, text, None, rank))
            asked.append((query.id, query.image, own, text, query.set))
        judged += [(query.id, *of) for of in query.judged]
    tables = Composed.of(asked, judged, galleries)
    return Reading(without_digests(rows), problems, composed=tables)


def of_items(
    asked: Composed, items: pd.DataFrame, problems: pd.DataFrame
) -> tuple[Composed, pd.DataFrame, pd.DataFrame]:
    """The queries that the items still answer, the items without the texts of others, and the problems with these.

    Raises:
        DatasetError: no query is left, or the tables can't be used.
    """
    images = manifest.select(items, "image")["id"]
    named = pd.concat([held["image"] for held in asked]).unique()
    left, lost = asked.without(set(named) - set(images))
    found = [
        Problem(query, f"query {query}", f"lost its {what}: the image was set aside")
        for query, what in lost.items()
    ]
    problems = pd.concat(
        [problems, pd.DataFrame(found, columns=Problem._fields, dtype=object)], ignore_index=True
    )
    silent = (items["split"] == manifest.COMPOSED) & ~items["id"].isin(left.asked["text"])
    items = items[~silent].reset_index(drop=True)
    return validate(left, images, left.asked["text"]), items, problems


def by_labels(
    items: pd.DataFrame,
    query: str,
    texts: Mapping[str, str],
    words: Mapping[str, Mapping[str, str]],
    most: int = MOST,
    answered: int = ANSWERS,
) -> tuple[list[ManifestRow], Composed, int]:
    """Queries that ask for an image with another label, of one labelling, and the same labels of all others.

    Of each image every other label is asked that some image of any split has beside its other labels: these images are
    the answers, all of them. The query's image is left out of its ranking. An image without one of the labels takes no
    part.

    Args:
        items: a manifest.
        query: the split of the images that ask.
        texts: labelling → what is asked, with a `{}` for the label's words.
        words: labelling → label → its words; else the label with blanks for underscores.
        most: queries at most, those whose hashes come first (`drawn`).
        answered: answers of all queries together, at most.

    Returns:
        The rows of the texts that are asked, the tables, and how many queries `most` and `answered` left out.
    """
    columns = [manifest.LABEL + name for name in manifest.labellings(items)]
    images = items[items["modality"] == "image"]
    columns = [name for name in columns if images[name].notna().any()]
    images = images.dropna(subset=columns)
    candidates = images[["id", *columns]]
    asking = candidates[images["split"] == query]
    found, number = drawn(asking, candidates, list(texts), most, answered)
    found = found.assign(query=found["id"] + " " + found["labelling"] + " " + found["label"].astype(str))
    left_out = number - len(found)
    said = {
        (labelling, label): texts[labelling].replace(
            "{}", words.get(labelling, {}).get(label, label.replace("_", " "))
        )
        for labelling, label in found[["labelling", "label"]].itertuples(index=False)
    }
    asked, judged = [], []
    for labelling, pairs in found.groupby("labelling", sort=False):
        changed = manifest.LABEL + str(labelling)
        kept = [name for name in columns if name != changed]
        targets = candidates[["id", changed, *kept]].rename(columns={"id": "answer", changed: "label"})
        answers = pairs[["query", "label", *kept]].merge(targets, on=["label", *kept])
        asked += [
            (
                row.query,
                row.id,
                text_id(f"{row.labelling}/{row.label}"),
                said[row.labelling, row.label],
                row.labelling,
            )
            for row in pairs.itertuples(index=False)
        ]
        judged += [
            (own, image, RELEVANT) for own, image in zip(answers["query"], answers["answer"], strict=True)
        ]
        judged += [(own, image, IGNORED) for own, image in zip(pairs["query"], pairs["id"], strict=True)]
    rows: list[ManifestRow] = [
        (text_id(f"{labelling}/{label}"), "text", manifest.COMPOSED, None, said[labelling, label], None, 0)
        for labelling, label in sorted(said)
    ]
    return rows, Composed.of(asked, judged), left_out
