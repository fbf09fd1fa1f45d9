"""Labelled sets that torchvision reads, and downloads where it can."""

from __future__ import annotations

import difflib
import inspect
import operator
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossgap.datasets.declared import DatasetError, Torchvision
from crossgap.datasets.exporting import exporting, png
from crossgap.datasets.readers.samples import Sample, of_samples
from crossgap.datasets.reading import Problem, Reading
from crossgap.errors import listed, of_machine

_OURS = {"root": "`root`", "download": "`download`", "transform": "nothing", "target_transform": "nothing"}


def read(declaration: Torchvision, folder: Path) -> Reading:
    """Images as the class gives them, exported as PNG, with ids `<split>/<index>`, and class prompts.

    Labels are the class's own names of its classes, or their numbers where it has no names; a number below 0 is none.

    Raises:
        DatasetError: torchvision has no such class, it doesn't take the arguments, its files are missing, or it does
            not give an image and a class number.
    """
    kind = _class(declaration.name)
    samples, problems, named = [], [], None
    opened = {split: _open(declaration, kind, split) for split in declaration.splits}
    with exporting(folder) as add:
        for split, images in opened.items():
            names = _names(images)
            if names is not None:
                named = (named or {}) | dict(names)
            for index in range(len(images)):
                where = f"{split}/{index}"
                try:
                    item = images[index]
                except Exception as error:  # damaged files bring almost any exception out of Pillow's plugins
                    if of_machine(error):
                        raise
                    problem = f"can't be read: {type(error).__name__}: {error}"
                    problems.append(Problem(where, f"{declaration.name} {where}", problem))
                    continue
                image, number = _pair(declaration, where, item)
                label = _label(declaration, where, names, number)
                samples.append(Sample(where, split, add(f"{where}.png", png(image)), label=label))
    return of_samples(declaration, samples, named)._replace(problems=problems)


def _class(name: str) -> type:
    from torchvision import datasets

    known = {
        key: value
        for key, value in vars(datasets).items()
        if isinstance(value, type) and issubclass(value, datasets.VisionDataset)
    }
    if name not in known:
        close = difflib.get_close_matches(name, known) or sorted(known)
        raise DatasetError(f"name: torchvision has no dataset {name!r}: it has {listed(close)}")
    return known[name]


def _open(declaration: Torchvision, kind: type, split: str) -> Any:
    name, arguments = declaration.name, declaration.splits[split]
    taken = inspect.signature(kind).parameters
    if own := [argument for argument in arguments if argument in _OURS]:
        raise DatasetError(
            f"splits.{split}: {own[0]!r} is no argument of a split: {_OURS[own[0]]} stands for it"
        )
    free = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
    if unknown := [argument for argument in arguments if argument not in taken and not free]:
        known = [argument for argument in taken if argument not in _OURS]
        raise DatasetError(f"splits.{split}: {name} takes no {listed(unknown)}; it takes {listed(known)}")
    if declaration.download and "download" not in taken:
        raise DatasetError(
            f"download: torchvision does not download {name}: put its files under `root` yourself"
        )
    ours = {"root": str(declaration.root), "download": declaration.download}
    ours = {argument: value for argument, value in ours.items() if argument in taken}
    try:
        return kind(**ours, **arguments)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"splits.{split}: {name} refuses {arguments}: {error}") from None
    except (RuntimeError, OSError) as error:
        if of_machine(error):
            raise
        remedy = "mend `root`" + (", or declare `download: true`" if "download" in taken else "")
        raise DatasetError(
            f"{name} is not whole under root {declaration.root}, or not there ({error}): {remedy}"
        ) from None
    except ImportError as error:
        raise DatasetError(f"{name} needs another library ({error}): install it") from None


def _names(images: Any) -> list[tuple[str, str]] | None:
    """Label and name by class number; of several names the first.

    Labels of classes of one name are told apart by their numbers: "crane (134)" is called "crane".
    """
    classes = getattr(images, "classes", None) or getattr(images, "categories", None)
    if not classes:
        return None
    names = [name if isinstance(name, str) else name[0] for name in classes]
    bearers = Counter(names)
    labels = [name if bearers[name] == 1 else f"{name} ({number})" for number, name in enumerate(names)]
    return list(zip(labels, names, strict=True))


def _label(
    declaration: Torchvision, where: str, names: Sequence[tuple[str, str]] | None, number: int
) -> str | None:
    """The label of a class number; None if it is below 0, which means unlabelled, as in STL10."""
    if number < 0:
        return None
    if names is None:
        return str(number)
    if number >= len(names):
        raise DatasetError(
            f"{declaration.name} {where} is of class {number}, but the set names {len(names)} classes from 0: "
            "download it again"
        )
    return names[number][0]


def _pair(declaration: Torchvision, where: str, item: Any) -> tuple[Any, int]:
    from PIL import Image

    try:
        image, target = item
        number = operator.index(target)
    except (TypeError, ValueError):
        image = number = None
    if number is None or not isinstance(image, Image.Image):
        kinds = [type(part).__name__ for part in item] if isinstance(item, tuple) else type(item).__name__
        raise DatasetError(
            f"{declaration.name} {where} is {kinds}, not an image and a class number: set the class's arguments in "
            "`splits`, or name a labelled set of images"
        )
    return image, number
