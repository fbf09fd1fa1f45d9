"""Data sets of Hugging Face's library `datasets`, from its hub or a local folder; a set's own code never runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from crossgap.datasets.declared import DatasetError, HuggingFace
from crossgap.datasets.exporting import exporting, png
from crossgap.datasets.image_files import EXTENSIONS
from crossgap.datasets.labels import label_of
from crossgap.datasets.readers.samples import Sample, of_samples
from crossgap.datasets.reading import Problem, Reading
from crossgap.errors import listed, of_machine

_BYTES = ("binary", "large_binary")
_TEXT = ("string", "large_string")


def read(declaration: HuggingFace, folder: Path) -> Reading:
    """A row an image, its bytes exported as they are, or a text; ids are `<split>/<row>`.

    Raises:
        DatasetError: the library or the data set can't be had, it has no such split or column, a column is of another
            kind, or a class has no name.
    """
    try:
        import datasets
    except ImportError:
        raise DatasetError(
            "layout huggingface needs the library `datasets`: pip install 'crossgap[datasets]'"
        ) from None
    # the library's own cache knows a local folder's files by their times alone
    with TemporaryDirectory(dir=folder, prefix="cache-") as cache:
        return _read(declaration, folder, datasets, cache if declaration.root.is_dir() else None)


def _read(declaration: HuggingFace, folder: Path, datasets: Any, cache: str | None) -> Reading:
    held = _load(declaration, datasets, cache)
    if unknown := [name for name in declaration.splits.values() if name not in held]:
        raise DatasetError(
            f"splits: {declaration.id} has no split {listed(unknown)}; it has {listed(sorted(held), 20)}"
        )
    tables = {split: held[name] for split, name in declaration.splits.items()}
    for table in tables.values():
        _check_columns(declaration, datasets, table)
    problems: list[Problem] = []
    if declaration.image_column is None:
        samples = list(_texts(declaration, tables, problems))
    else:
        samples = list(_images(declaration, datasets, tables, folder, problems))
    return of_samples(declaration, samples, _classes(declaration, tables))._replace(problems=problems)


def _load(declaration: HuggingFace, datasets: Any, cache: str | None) -> dict[str, Any]:
    """Name of a split there → its table, which may lie in `cache`."""
    place = declaration.root.as_posix()
    try:
        if any((declaration.root / name).is_file() for name in ("dataset_dict.json", "state.json")):
            held = datasets.load_from_disk(place)
        else:
            held = datasets.load_dataset(
                place, declaration.config, revision=declaration.commit, cache_dir=cache
            )
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        if of_machine(error):
            raise
        raise DatasetError(
            f"id: {place} can't be loaded ({type(error).__name__}: {error}): give an id of the hub, with "
            "`config` where it has several, or the path of a folder"
        ) from None
    return held if isinstance(held, dict) else {str(held.split or "train"): held}


def _check_columns(declaration: HuggingFace, datasets: Any, table: Any) -> None:
    for field in ("image_column", "label_column", "text_column"):
        column = getattr(declaration, field)
        if column is not None and column not in table.column_names:
            raise DatasetError(
                f"{field}: {declaration.id} has no column {column!r}; it has {listed(table.column_names, 20)}"
            )
    column = declaration.image_column
    if column is not None and not _holds_images(datasets, table.features[column]):
        raise DatasetError(
            f"image_column: {column!r} of {declaration.id} holds {table.features[column]}, not images: name another, "
            "or null for a set of texts"
        )


def _holds_images(datasets: Any, feature: Any) -> bool:
    """Whether a column has images: by its feature, or as parquet of other tools has them, bytes or {bytes, path}."""
    if isinstance(feature, dict):
        kinds = {name: getattr(held, "dtype", None) for name, held in feature.items()}
        return kinds.get("bytes") in _BYTES and kinds.get("path", "string") in _TEXT and len(kinds) <= 2
    return isinstance(feature, datasets.Image) or getattr(feature, "dtype", None) in _BYTES


def _images(
    declaration: HuggingFace, datasets: Any, tables: dict[str, Any], folder: Path, problems: list[Problem]
) -> Iterator[Sample]:
    column = declaration.image_column
    with exporting(folder) as add:
        for split, table in tables.items():
            # datasets 4 casts none to images
            if getattr(table.features[column], "dtype", None) == "large_binary":
                table = table.cast_column(column, datasets.Value("binary"))
            table = table.cast_column(column, datasets.Image(decode=False))
            for number, row in enumerate(table.select_columns(_columns(declaration))):
                name = f"{split}/{number}"
                captions = _captions(declaration, name, row)
                if "" in captions:
                    problems.append(Problem(f"{name}#", name, "empty caption"))
                    captions = [caption for caption in captions if caption]
                if row[column] is None:
                    problems.append(Problem(name, name, f"no image: {column} is null"))
                elif declaration.text_column is not None and not captions:
                    problems.append(Problem(name, name, "image without caption"))
                else:
                    try:
                        suffix, data = _file(declaration, datasets, row[column])
                    except (OSError, ValueError) as error:  # of Pillow and of the library
                        if of_machine(error):
                            raise
                        problems.append(
                            Problem(name, name, f"no image: {row[column]['path']} can't be read: {error}")
                        )
                        continue
                    path = add(name + suffix, data)
                    yield Sample(name, split, path, captions, _label(declaration, table, name, row))


def _texts(declaration: HuggingFace, tables: dict[str, Any], problems: list[Problem]) -> Iterator[Sample]:
    for split, table in tables.items():
        for number, row in enumerate(table.select_columns(_columns(declaration))):
            name = f"{split}/{number}"
            texts = _captions(declaration, name, row)
            if len(texts) > 1:
                raise DatasetError(
                    f"text_column: {name} has {len(texts)} texts, but no image: name a column with one text a row"
                )
            if texts in ([], [""]):
                problems.append(Problem(name, name, "empty text"))
            else:
                yield Sample(name, split, None, texts, _label(declaration, table, name, row))


def _columns(declaration: HuggingFace) -> list[str]:
    columns = (declaration.image_column, declaration.label_column, declaration.text_column)
    return list(dict.fromkeys(column for column in columns if column is not None))


def _file(declaration: HuggingFace, datasets: Any, image: dict[str, Any]) -> tuple[str, bytes]:
    """Suffix and bytes of an image's file, its path from the set's folder too; what has no bytes of its own becomes a
    PNG.

    Raises:
        OSError, ValueError: there are neither bytes nor such a file.
    """
    path, data = image["path"], image["bytes"]
    files = [Path(path), declaration.root / path] if data is None and path else []
    if file := next((file for file in files if file.is_file()), None):
        data = file.read_bytes()
    if data is None:
        return ".png", png(datasets.Image().decode_example(image))
    suffix = PurePosixPath(path or "").suffix.lower()
    return suffix if suffix.removeprefix(".") in EXTENSIONS else ".img", data


def _captions(declaration: HuggingFace, where: str, row: dict[str, Any]) -> list[str]:
    if declaration.text_column is None:
        return []
    held = row[declaration.text_column]
    captions = held if isinstance(held, list) else [] if held is None else [held]
    if strange := [caption for caption in captions if not isinstance(caption, str)]:
        raise DatasetError(
            f"text_column: {where} has {strange[0]!r} in {declaration.text_column!r}, not a string or a list of "
            "strings: name another"
        )
    return [caption.strip() for caption in captions]


def _label(declaration: HuggingFace, table: Any, where: str, row: dict[str, Any]) -> str | None:
    if declaration.label_column is None or row[declaration.label_column] is None:
        return None
    label = row[declaration.label_column]
    names = getattr(table.features[declaration.label_column], "names", None)
    if names is not None:
        return None if label < 0 else names[label]  # -1 stands for unlabelled
    try:
        return label_of(label, declaration.class_names)
    except DatasetError:
        raise DatasetError(
            f"label_column: {where} has {label!r} in {declaration.label_column!r}: name a column with one class a row"
        ) from None


def _classes(declaration: HuggingFace, tables: dict[str, Any]) -> dict[str, str] | None:
    """The names that the set gives its classes, if it does."""
    if declaration.label_column is None:
        return None
    given = [getattr(table.features[declaration.label_column], "names", None) for table in tables.values()]
    return {name: name for names in given for name in names or ()} if all(given) else None
