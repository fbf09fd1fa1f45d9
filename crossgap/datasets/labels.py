"""Labels as people and tools write them → the names of classes."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

from crossgap.datasets.declared.base import DatasetError

UNLABELLED = re.compile(r"-1(\.0*)?")
WHOLE = re.compile(r"([+-]?\d+)(\.0*)?")


def whole(labels: Iterable[str], named: Container[str] = ()) -> dict[str, str]:
    """Label as written → the class that it means, for all labels of a labelling.

    1.0 means 1 where every label is a whole number: tools write whole numbers so if some of them are missing. Among
    words or other numbers, 1.0 is a name, such as that of a version.

    Args:
        labels: stripped; blank ones stay blank.
        named: labels that the declaration names in `class_names`; if it names all as they are written, they stay.
    """
    held = set(labels)
    numbers = {label: match[1] for label in held if (match := WHOLE.fullmatch(label))}
    written = all(label in named for label, number in numbers.items() if label != number)
    if written or len(numbers) < len(held - {""}):
        return {label: label for label in held}
    return {label: numbers.get(label, label) for label in held}


def label_of(value: object, named: Container[str] = ()) -> str | None:
    """A label as text, 3.0 as "3"; None for a blank one, and for -1, which means unlabelled.

    Args:
        named: labels that the declaration names in `class_names`; if -1 is among them, it is a class.

    Raises:
        DatasetError: it is neither text nor a whole number, or a float that may be another one.
    """
    if value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        check_told_apart(value)
        value = int(value)
    if not isinstance(value, str | int):
        raise DatasetError(f"{value!r} is no class: a class is text or a whole number")
    text = str(value).strip()
    unlabelled = UNLABELLED.fullmatch(text) and text not in named and text.partition(".")[0] not in named
    return None if not text or unlabelled else text


def check_told_apart(value: float, digits: int = 53, where: str = "") -> None:
    """Raise DatasetError at a whole number as a float, of so many binary digits, that its neighbours are the same as.

    Tools that make floats of whole numbers where one is missing have made one name of several then.

    Args:
        where: begins the message, if given.
    """
    if abs(value) >= 2.0**digits:
        raise DatasetError(
            (f"{where}: " if where else "")
            + f"{value:.0f} is a whole number as a float, which from 2^{digits} on can't be "
            "told from its neighbours: save it as an integer or as text"
        )
