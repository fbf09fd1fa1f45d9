"""Images of composed queries, which their sets call by a name without its ending."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from crossgap.datasets.declared import DatasetError
from crossgap.datasets.paths import by_name, image_paths, one_file
from crossgap.errors import listed


def by_stem(root: Path, names: Iterable[str]) -> dict[str, str | None]:
    """Name → path of the image that is called so but for its ending, whatever its folder; None where there is none.

    Raises:
        DatasetError: the root has no images, or several for one name.
    """
    stems: dict[str, list[str]] = {}
    for name, paths in by_name(image_paths(root)).items():
        stems.setdefault(name.rpartition("/")[2].rpartition(".")[0], []).extend(paths)
    found: dict[str, str | None] = {}
    for name in names:
        paths = one_file(root, stems.get(name, []))
        if len(paths) > 1:
            raise DatasetError(f"{name} is any of {listed(paths)} under {root}: keep one, or mend `root`")
        found[name] = paths[0] if paths else None
    return found
