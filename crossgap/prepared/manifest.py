"""The manifest: what a dataset holds, a row an item; `prepare` writes it and every later stage reads it.

Columns: `id`, unique and stable; `modality`, "image" or "text"; `split`; `path` of an image, relative to the
dataset's root, where a `.tar` may stand for a folder; `text`; `group`, the id of the image that a caption
belongs to, for an image its own, or "document/…" for a document that is a text alone and for the texts that ask for it;
`rank`, a caption's place among its image's captions, 0 first; `digest`,
BLAKE2b-128 of the file or the text; `box`, if there, what an image is cropped to, "left upper right lower" in
pixels; any number of `label.<labelling>`. Missing values are None.

Five splits are kept for texts that belong to no image. Rows of "classes" are class prompts, with one label each.
Rows of "vocabulary" and "vocabulary-photo" are concept names without labels, bare and as "a photo of <name>", and those
of "styles" names of styles and surroundings, which corrections are fitted on. Rows of "composed" are what composed
queries ask of an image (`crossgap.prepared.composed`), without labels too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crossgap import fingerprint
from crossgap.errors import DatasetError
from crossgap.prepared import parquet

FILE = "manifest.parquet"
COLUMNS = ("id", "modality", "split", "path", "text", "group", "rank", "digest")
BOX = "box"
ALONE = "document/"  # how the group of a document without an image begins
LABEL = "label."
CLASSES = "classes"
VOCABULARY, VOCABULARY_PHOTO = VOCABULARIES = ("vocabulary", "vocabulary-photo")
STYLES, COMPOSED = "styles", "composed"
BARE = (*VOCABULARIES, STYLES, COMPOSED)  # their texts have no labels
RESERVED = (CLASSES, *BARE)
_NAMED = 3
_LONGEST = 200  # bytes of the name of a labelling or a split: files may have 255


def validate(frame: pd.DataFrame) -> pd.DataFrame:
    """The manifest with its columns in order and of the right type: str or None, `rank` int64.

    Raises:
        DatasetError: columns are missing, unknown or of the wrong type, or rows break the contract.
    """
    frame = _typed(frame)
    if frame.empty:
        raise DatasetError("the manifest has no items: look at what its dataset's declaration points to")
    broken = [_complaint(frame, rows, rule) for rows, rule in _rules(frame) if rows.any()]
    if broken:
        raise DatasetError("\n".join(broken))
    return frame


def write(frame: pd.DataFrame, folder: str | Path) -> Path:
    """Validate and write `manifest.parquet` into the folder; equal manifests give equal bytes."""
    frame = validate(frame)
    columns = {
        name: pa.array(frame[name].tolist(), pa.int64() if name == "rank" else pa.string()) for name in frame
    }
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="zstd")
    return path


def read(folder: str | Path) -> pd.DataFrame:
    """Read and validate the folder's manifest.

    Raises:
        DatasetError: there is none, or it breaks the contract.
        CrossgapError: it is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise DatasetError(f"{path} not found: the `prepare` stage of this dataset writes it")
    return validate(parquet.read(path))


def labellings(frame: pd.DataFrame) -> list[str]:
    """Names of the labellings, sorted."""
    return sorted(name.removeprefix(LABEL) for name in frame if name.startswith(LABEL))


def wrong_labelling(name: str) -> str | None:
    """What is wrong with the name of a labelling, after which arrays and metrics are named; None if nothing is."""
    if not name:
        return f"has no name: give {LABEL}<labelling>"
    if "/" in name:
        return "holds a '/', which parts the keys of metrics: name it otherwise"
    if "\\" in name or "\0" in name:
        return "holds a '\\' or a zero byte, which no array of a store is named with: name it otherwise"
    if len(name.encode(errors="replace")) > _LONGEST:
        return f"is longer than {_LONGEST} bytes, and files are named after it: name it otherwise"
    if name == "group":
        return "has the name of the relevance by image: name it otherwise"
    return None


def select(frame: pd.DataFrame, modality: str, split: str | None = None) -> pd.DataFrame:
    """The rows of a modality, and of a split if one is named, in the manifest's order and numbered from 0."""
    rows = frame["modality"] == modality
    if split is not None:
        rows &= frame["split"] == split
    return frame[rows].reset_index(drop=True)


def as_words(column: pd.Series) -> pd.Series:
    """A column as str, "" where it has nothing."""
    return column.astype(object).where(column.notna(), "").astype(str)


def in_words(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """These columns of a table as str, the rows numbered from 0."""
    return pd.DataFrame({name: as_words(frame[name]) for name in columns}).reset_index(drop=True)


def text_digest(text: str) -> str:
    """BLAKE2b-128 of the text in UTF-8, in hexadecimal."""
    return fingerprint.of_content(text.encode())


def caption_id(image_id: str, text: str, ordinal: int = 1) -> str:
    """Id of a caption, whatever its place in the file; `ordinal` counts equal texts of the image from 1."""
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return f"{image_id}#{digest}" + (f"-{ordinal}" if ordinal > 1 else "")


def corners(box: str) -> tuple[float, float, float, float]:
    """`left, upper, right, lower` of a box.

    Raises:
        DatasetError: it isn't four finite numbers, or a side has no length.
    """
    try:
        left, upper, right, lower = map(float, box.split())
    except ValueError:
        left = math.nan
    if math.isnan(left) or not all(map(math.isfinite, (left, upper, right, lower))):
        raise DatasetError(f"{box!r} is not four numbers: give left, upper, right and lower, in pixels")
    if left >= right or upper >= lower:
        raise DatasetError(f"{box!r} is empty: left must be less than right, and upper less than lower")
    return left, upper, right, lower


def content(frame: pd.DataFrame) -> list[str]:
    """For every item, one text of all that its features depend on: its digest and its box."""
    if BOX not in frame:
        return frame["digest"].tolist()
    boxed = zip(frame["digest"], frame[BOX], strict=True)
    return [digest if box is None else fingerprint.of_json([digest, box]) for digest, box in boxed]


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise DatasetError(f"the manifest lacks columns {', '.join(missing)}: add them")
    extra = sorted(set(frame) - set(COLUMNS))
    unknown = [name for name in extra if name != BOX and not name.startswith(LABEL)]
    if unknown:
        raise DatasetError(f"unknown columns {', '.join(unknown)}: a labelling's is `{LABEL}<labelling>`")
    for labelling in labellings(frame):
        if why := wrong_labelling(labelling):
            raise DatasetError(f"the labelling {labelling!r} {why}")
    columns = {}
    for name in (*COLUMNS, *extra):
        values = frame[name]
        kind = pd.api.types.infer_dtype(values, skipna=True)
        if name == "rank":
            if kind != "integer" or values.isna().any():
                raise DatasetError(f"column rank holds {kind} values or gaps: give every row an integer")
            columns[name] = values.to_numpy(np.int64)
        elif kind in ("string", "empty"):
            columns[name] = values.astype(object).where(values.notna(), None).reset_index(drop=True)
        else:
            raise DatasetError(f"column {name} holds {kind} values: give strings, or None for none")
    return pd.DataFrame(columns)


def _rules(frame: pd.DataFrame) -> Iterator[tuple[pd.Series, str]]:
    """Pairs of the rows that break a rule and the rule."""
    image, text = frame["modality"] == "image", frame["modality"] == "text"
    classes, vocabulary = frame["split"] == CLASSES, frame["split"].isin(BARE)
    labels = frame[[f"{LABEL}{name}" for name in labellings(frame)]].notna().sum(axis=1)
    captions = text & frame["group"].notna()
    yield _blank(frame["id"]), "no id: give each item one"
    yield frame["id"].duplicated(keep=False), "duplicate id: ids must be unique"
    yield ~(image | text), "unknown modality: use 'image' or 'text'"
    yield _blank(frame["split"]), "no split: name one, such as 'test'"
    yield (
        frame["split"].fillna("").str.contains(r"[/\\\0]"),
        "a split's name may not hold a '/' or '\\': rename it",
    )
    yield (
        frame["split"].fillna("").map(lambda name: len(name.encode(errors="replace")) > _LONGEST),
        f"a split's name is longer than {_LONGEST} bytes, and files are named after it: rename it",
    )
    yield frame["split"].fillna("").str.fullmatch(r"\.+"), "a split's name needs more than dots: rename it"
    yield image & _blank(frame["path"]), "image without path: give its path relative to the dataset's root"
    yield text & _blank(frame["text"]), "text without text: write one, or leave the row out"
    yield image & (frame["group"] != frame["id"]), "the group of an image must be its own id"
    if image.any():
        known = frame["group"].isin(frame.loc[image, "id"]) | frame["group"].fillna("").str.startswith(ALONE)
        yield captions & ~known, "group is no image of the manifest: add the image, or leave the caption out"
    repeated = captions & frame[["group", "rank"]].where(captions).duplicated(keep=False)
    yield (frame["rank"] < 0) | repeated, "ranks must be 0 or more, and differ among the captions of an image"
    yield image & classes, f"split {CLASSES!r} is kept for class prompts: name the images' split otherwise"
    yield text & classes & (labels != 1), "a class prompt needs exactly one label"
    of_items = image | frame["group"].notna() | (labels > 0)
    yield (
        vocabulary & of_items,
        f"splits {', '.join(BARE)} are kept for texts without labels: name yours otherwise",
    )
    if BOX in frame:
        boxed = frame[BOX].notna()
        yield text & boxed, "text with a box: only images are cropped"
        yield (
            boxed & ~frame[BOX].map(_is_box),
            "wrong box: give left upper right lower, left < right, upper < lower",
        )
    yield _blank(frame["digest"]), "no digest: give the BLAKE2b-128 of its bytes or text"


def _is_box(box: str | None) -> bool:
    try:
        return box is not None and corners(box) is not None
    except DatasetError:
        return False


def _blank(column: pd.Series) -> pd.Series:
    return column.fillna("").str.strip() == ""


def _complaint(frame: pd.DataFrame, rows: pd.Series, rule: str) -> str:
    ids = frame.loc[rows, "id"].drop_duplicates()
    named = [repr(name) if name else f"row {row}" for row, name in ids[:_NAMED].items()]
    return f"{rule} ({rows.sum()} rows: {', '.join(named)}{', …' if len(ids) > _NAMED else ''})"
