"""A user's own table with a row for each item."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import pandas as pd

from crossgap.datasets.declared import DatasetError, Table
from crossgap.datasets.image_files import slashes
from crossgap.datasets.paths import on_disk, plain
from crossgap.datasets.readers.samples import check_class_names, spoken
from crossgap.datasets.readers.table_rows import TableRow, by_labelling, problem_of, rows_of
from crossgap.datasets.reading import ManifestRow, Problem, Reading, image_ids, prompts, without_digests
from crossgap.prepared import manifest


def read(declaration: Table, _folder: Path) -> Reading:
    """Images, then texts, in the table's order; then the class prompts of each labelling of images.

    The table is CSV (UTF-8, with a header, of commas, tabs, semicolons or vertical bars), parquet, or JSON lines
    (`.jsonl`: an object a line), and its columns are any of:

    - `path` of an image, relative to `root`, or `text`, or both. A row with both is an image and a caption of it;
      further rows with the same path are further captions.
    - `id`: unique. Without it, an image is named by its path without the extension, a text by a hash.
    - `split`: without this column, every item is in `test`.
    - `group` of a text: the id or path of the image whose caption it is. Without it, the text belongs to no image.
    - `rank` of a caption: a whole number; the captions of an image are put in ascending order. Without it, they keep
      the table's order.
    - `box` of an image: the part to be cropped out, "left upper right lower" in pixels.
    - `label.<labelling>`, for any number of labellings, or `label`: the class of the image, or of the text in a row
      without a path; blank or -1 means no class. 1.0 means 1 where all labels are whole numbers.

    Raises:
        DatasetError: the table or the root is missing, the table is malformed, or a row contradicts another.
    """
    rows, problems = [], []
    for row in rows_of(declaration):
        if problem := problem_of(row):
            problems.append(Problem(row.values.get("id", row.where), row.where, problem))
        else:
            rows.append(row)
    images = _images(rows)
    if images and not declaration.root.exists():
        raise DatasetError(f"root {declaration.root} does not exist: paths start at the project's root")
    ids = image_ids(path for path, row in images.items() if "id" not in row.values)
    ids = {path: row.values["id"] if "id" in row.values else ids[path] for path, row in images.items()}
    items: list[ManifestRow] = [
        (ids[path], "image", row.values["split"], path, None, ids[path], 0) for path, row in images.items()
    ]
    labels = [row.labels for row in images.values()]
    boxes = [row.values.get("box") for row in images.values()]
    texts, of_texts, lost = _texts(rows, ids, declaration.root)
    names = {labelling: spoken(declaration, held) for labelling, held in by_labelling(labels).items()}
    check_class_names(declaration, names)
    items, labels = items + texts, labels + of_texts
    for labelling, held in names.items():
        called = {label: declaration.class_names.get(label, name) for label, name in held.items()}
        items += prompts(labelling, called, declaration.templates)
        labels += [{labelling: label} for label in sorted(called) for _ in declaration.templates]
    columns = {
        manifest.LABEL + labelling: pd.Series([row.get(labelling) for row in labels], dtype=object)
        for labelling in by_labelling(labels)
    }
    frame = pd.concat([without_digests(items), pd.DataFrame(columns)], axis=1)
    if any(boxes):
        frame[manifest.BOX] = pd.Series(boxes + [None] * (len(items) - len(boxes)), dtype=object)
    return Reading(frame, problems + lost)


def _images(rows: Sequence[TableRow]) -> dict[str, TableRow]:
    """Path → the first row of this image."""
    images: dict[str, TableRow] = {}
    for row in rows:
        if (path := row.values.get("path")) is None:
            continue
        first = images.setdefault(path, row)
        if row is first:
            continue
        own, said = (
            {**one.values} | {manifest.LABEL + k: v for k, v in one.labels.items()} for one in (first, row)
        )
        differ = [name for name in said if name not in ("text", "rank") and said[name] != own.get(name)]
        if differ or "text" not in said:
            what = (
                f"another {', '.join(differ)}"
                if differ
                else "no text: an image has one row beside its captions'"
            )
            raise DatasetError(f"{row.where}: {path} is there already ({first.where}), here with {what}")
    return images


def _texts(
    rows: Sequence[TableRow], ids: Mapping[str, str], root: Path
) -> tuple[list[tuple], list[Mapping[str, str]], list[Problem]]:
    """Rows of the manifest and labels of texts, and the problems of those that are left out.

    Args:
        ids: path → id of the image.
    """
    given = {row.values["id"] for row in rows if "id" in row.values} & set(ids.values())
    texts, labels = [], []
    met: Counter[tuple[str | None, str, str]] = Counter()
    found, problems = _of_images([row for row in rows if "text" in row.values], ids, given, root)
    ranks, unranked = _ranks(found)
    for place, (row, group) in enumerate(found):
        text, split = row.values["text"], row.values["split"]
        met[group, split, text] += 1
        name = _text_id(group, split, text, met[group, split, text])
        if "path" not in row.values:
            name = row.values.get("id", name)
        if place in unranked:
            problems.append(Problem(name, row.where, unranked[place]))
            continue
        texts.append((name, "text", split, None, text, group, ranks.get(place, 0)))
        labels.append({} if "path" in row.values else row.labels)
    return texts, labels, problems


def _of_images(
    rows: Sequence[TableRow], ids: Mapping[str, str], given: Set[str], root: Path
) -> tuple[list[tuple[TableRow, str | None]], list[Problem]]:
    """Every text with the id of its image, None if it belongs to none; and the problems of texts without a clear image.

    A group is looked for among the ids in the table, then among the paths, then among the ids made from paths. So
    `1.jpg` means the image of that path, even if `1.jpg` is also the id made from `1.jpg.png`.
    """
    made = set(ids.values())
    found: list[tuple[TableRow, str | None]] = []
    problems = []
    for row in rows:
        path, asked = row.values.get("path"), row.values.get("group")
        if path is not None or asked is None:
            found.append((row, None if path is None else ids[path]))
            continue
        by_path = ids.get(on_disk(plain(asked, root), root))
        bearers = [name for name in dict.fromkeys((asked if asked in given else None, by_path)) if name]
        bearers = bearers or ([asked] if asked in made else [])
        if len(bearers) == 1:
            found.append((row, bearers[0]))
            continue
        problem = (
            f"caption for an ambiguous image: {asked} is the id of one and the path of another"
            if bearers
            else f"caption for no image: no row has the id or path {asked}{slashes(asked)}"
        )
        problems.append(Problem(row.values.get("id", row.where), row.where, problem))
    return found, problems


def _ranks(texts: Sequence[tuple[TableRow, str | None]]) -> tuple[dict[int, int], dict[int, str]]:
    """Place in `texts` → rank among the captions of its image; and place → why a caption has no rank.

    The ranks of an image are 0, 1, 2, … in the order of the ranks given, or of the table if none are given.
    """
    captions = defaultdict(list)
    for place, (row, group) in enumerate(texts):
        if group is not None:
            captions[group].append((place, row.values.get("rank")))
    ranks: dict[int, int] = {}
    problems: dict[int, str] = {}
    for group, held in captions.items():
        asked = {place: int(rank.partition(".")[0]) for place, rank in held if rank is not None}
        met: set[int] = set()
        for place, _ in held if asked else ():
            if place not in asked:
                problems[place] = f"no rank: other captions of {group} have one; give it to each, or to none"
            elif asked[place] in met:
                problems[place] = (
                    f"a rank given twice: {asked[place]} among {group}'s captions: give each its own"
                )
            met |= {asked[place]} if place in asked else set()
        order = sorted((place for place, _ in held), key=lambda place: asked.get(place, 0))
        kept = (place for place in order if place not in problems)
        ranks |= {place: rank for rank, place in enumerate(kept)}
    return ranks, problems


def _text_id(group: str | None, split: str, text: str, ordinal: int) -> str:
    if group is not None:
        return manifest.caption_id(group, text, ordinal)
    return f"{split}/{manifest.text_digest(text)[:16]}" + (f"-{ordinal}" if ordinal > 1 else "")
