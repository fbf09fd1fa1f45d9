"""A table of one's own, a row an item."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from crossgap.datasets.declared import DatasetError, Table
from crossgap.datasets.images import slashes
from crossgap.datasets.readers.parquet import read_parquet
from crossgap.datasets.readers.samples import check_class_names, spoken
from crossgap.datasets.reading import (
    ManifestRow,
    Problem,
    Reading,
    image_ids,
    label_of,
    plain,
    prompts,
    whole,
    without_digests,
)
from crossgap.datasets.text_files import records
from crossgap.errors import listed
from crossgap.prepared import manifest

COLUMNS = ("id", "path", "text", "split", "group", "rank", "box")
LABEL = "label"  # alone, the labelling of the declaration
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")


class _Row(NamedTuple):
    """Where a row stands, and what it has: values by column, labels by labelling."""

    where: str
    values: Mapping[str, str]
    labels: Mapping[str, str]


def read(declaration: Table, _folder: Path) -> Reading:
    """Images, then texts, in the table's order; then the class prompts of each labelling of images.

    The table is CSV (UTF-8, with a header, of commas, tabs, semicolons or vertical bars) or parquet, and its columns
    are any of:

    - `path`, of an image, relative to `root`, or `text`. A row with both is an image and a caption of it; more rows of
      the same path are more captions.
    - `id`: unique; if there is none, an image's path without its extension, or a hash of a text.
    - `split`: `test`, if there is no such column.
    - `group`, of a text: the id or path of the image that it is a caption of; without, it is a text of no image.
    - `rank`, of a caption: its place among its image's, by their order, wherever they start; by the table's order, if
      not given.
    - `box`, of an image: what it is cropped to, "left upper right lower" in pixels.
    - `label.<labelling>`, any number of them, or `label`: the class of the image, or of the text in a row without path;
      blank or -1 where it has none; 1.0 is 1 where all are whole numbers.

    Raises:
        DatasetError: the table or the root is missing, the table is malformed, or a row contradicts another.
    """
    rows, problems = [], []
    for row in _whole_labels(declaration, list(_rows(declaration))):
        if problem := _problem(row):
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
    names = {labelling: spoken(declaration, held) for labelling, held in _by_labelling(labels).items()}
    check_class_names(declaration, names)
    items, labels = items + texts, labels + of_texts
    for labelling, held in names.items():
        called = {label: declaration.class_names.get(label, name) for label, name in held.items()}
        items += prompts(labelling, called, declaration.templates)
        labels += [{labelling: label} for label in sorted(called) for _ in declaration.templates]
    frame = without_digests(items)
    for labelling in _by_labelling(labels):
        column = pd.Series([row.get(labelling) for row in labels], dtype=object)
        frame[manifest.LABEL + labelling] = column
    if any(boxes):
        frame[manifest.BOX] = pd.Series(boxes + [None] * (len(items) - len(boxes)), dtype=object)
    return Reading(frame, problems + lost)


def _rows(declaration: Table) -> Iterator[_Row]:
    file = declaration.root / declaration.table
    table = _parquet(file) if file.suffix == ".parquet" else _csv(file)
    _, header = next(table)
    labellings = {}
    for name in header:
        if name == LABEL or (name.startswith(manifest.LABEL) and name != manifest.LABEL):
            labellings[name] = name.removeprefix(LABEL).removeprefix(".") or declaration.labelling
        elif name not in COLUMNS:
            raise DatasetError(
                f"table {file}: unknown column {name!r}: columns are {', '.join(COLUMNS)}, {LABEL} and "
                f"{manifest.LABEL}<labelling>; remove it, or name it so"
            )
    columns = [f"{manifest.LABEL}{labellings[name]}" if name in labellings else name for name in header]
    if twice := [name for name, count in Counter(columns).items() if count > 1]:
        raise DatasetError(f"table {file}: more than one column is {listed(twice)}: keep one")
    if not {"path", "text"} & set(header):
        raise DatasetError(f"table {file} has neither a column path nor text: it has {', '.join(header)}")
    unsaid = {} if "split" in header else {"split": "test"}
    for where, fields in table:
        held = {
            name: text for name, value in zip(header, fields, strict=True) if (text := _text(where, value))
        }
        values = unsaid | {name: text for name, text in held.items() if name not in labellings}
        if "path" in values:
            values["path"] = plain(values["path"], declaration.root)
        _check(where, values)
        labels = {
            labellings[name]: label
            for name, text in held.items()
            if name in labellings and (label := label_of(text, declaration.class_names))
        }
        yield _Row(where, values, labels)


def _whole_labels(declaration: Table, rows: Sequence[_Row]) -> Iterator[_Row]:
    found = _by_labelling([row.labels for row in rows])
    same = {labelling: whole(labels, declaration.class_names) for labelling, labels in found.items()}
    for row in rows:
        yield row._replace(
            labels={labelling: same[labelling][label] for labelling, label in row.labels.items()}
        )


def _csv(file: Path) -> Iterator[tuple[str, list[Any]]]:
    table = records(file, "table")
    line, header = next(table)
    yield f"{file.name} line {line}", [name.strip() for name in header]
    for line, fields in table:
        yield f"{file.name} line {line}", fields


def _parquet(file: Path) -> Iterator[tuple[str, list[Any]]]:
    table = read_parquet(file, "table ", "mend `table`")
    yield file.name, table.column_names
    columns = [column.to_pylist() for column in table.columns]
    for number, fields in enumerate(zip(*columns, strict=True), start=1):
        yield f"{file.name} row {number}", list(fields)


def _text(where: str, value: Any) -> str:
    """A value as a manifest has it, "" for none; numbers that gaps have made floats are whole again."""
    if isinstance(value, (list, tuple)):
        return " ".join(_text(where, part) for part in value)
    if value is None or value != value:
        return ""
    if not isinstance(value, (str, int, float)):
        raise DatasetError(f"{where}: {type(value).__name__} {value!r}: give text or a number")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _check(where: str, values: Mapping[str, str]) -> None:
    try:
        if "box" in values:
            manifest.corners(values["box"])
    except DatasetError as error:
        raise DatasetError(f"{where}: box: {error}") from None
    if not _WHOLE.fullmatch(values.get("rank", "0")):
        raise DatasetError(f"{where}: rank {values['rank']!r} is no whole number")


def _problem(row: _Row) -> str | None:
    """Why the row is no item."""
    has = row.values.keys()
    if not has & {"path", "text"}:
        return "neither path nor text"
    if "split" not in has:
        return "no split"
    if "path" in has and "group" in has:
        return "path and group: the group of an image is the image itself"
    if "box" in has and "path" not in has:
        return "box of a text: only images are cropped"
    return None


def _images(rows: Sequence[_Row]) -> dict[str, _Row]:
    """Path → the first of an image's rows."""
    images: dict[str, _Row] = {}
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
    rows: Sequence[_Row], ids: Mapping[str, str], root: Path
) -> tuple[list[tuple], list[Mapping[str, str]], list[Problem]]:
    """Rows of the manifest and labels of texts, and the problems of those that are left out.

    Args:
        ids: of images by path.
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
    rows: Sequence[_Row], ids: Mapping[str, str], given: Set[str], root: Path
) -> tuple[list[tuple[_Row, str | None]], list[Problem]]:
    """Texts, each with the id of its image, None of one that belongs to none; and those whose image can't be told.

    A group is an id that the table gives, a path, or an id made from a path, in this order: `1.jpg` is that image's
    path, though it be what `1.jpg.png` is called without its extension.
    """
    made = set(ids.values())
    found: list[tuple[_Row, str | None]] = []
    problems = []
    for row in rows:
        path, asked = row.values.get("path"), row.values.get("group")
        if path is not None or asked is None:
            found.append((row, None if path is None else ids[path]))
            continue
        by_path = ids.get(plain(asked, root))
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


def _ranks(texts: Sequence[tuple[_Row, str | None]]) -> tuple[dict[int, int], dict[int, str]]:
    """Place in `texts` → rank among the captions of its image, 0, 1, 2, … by the order of what is given, or of the
    table where nothing is; and place → why a caption has no rank.
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


def _by_labelling(labels: Sequence[Mapping[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in labels:
        for labelling, label in row.items():
            found.setdefault(labelling, set()).add(label)
    return dict(sorted(found.items()))
