"""Cells whose names DVC can't tell apart: it joins the values of a matrix with «-»."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

from crossgap.params.run import Run


def collisions(run: Run, fit_on: Sequence[str] = ()) -> Iterator[str]:
    """A line for every two cells of a stage that would get the same name, so that DVC would keep only one of them.

    Args:
        fit_on: the datasets that corrections are fitted on.
    """
    fields = defaultdict(list)
    for field, values in [*_matrices(run), ("evaluate.fit_on", (run.backbones, run.datasets, list(fit_on)))]:
        called: dict[str, tuple] = {}
        for cell in product(*values):
            name = "-".join(map(str, cell))
            if (other := called.setdefault(name, cell)) != cell:
                fields[name, other, cell].append(field)
    for (name, one, other), places in fields.items():
        yield (
            f"{', '.join(places)}: DVC calls both {_said(one)} and {_said(other)} «{name}» and keeps one of them; "
            "rename a backbone or a dataset of theirs"
        )


def _matrices(run: Run) -> list[tuple[str, tuple[list, ...]]]:
    sweep, seeds, distil = run.sweep, run.seeds, run.distil
    return [
        ("run", (run.backbones, run.datasets)),
        ("run.oti", (run.oti.backbones, run.oti.datasets)),
        ("run.ovi", (run.ovi.backbones, run.ovi.datasets)),
        ("run.sweep", (sweep.backbones, sweep.datasets, sweep.tokens)),
        ("run.seeds", (seeds.backbones, seeds.datasets, seeds.methods, seeds.seeds)),
        ("run.distil", (distil.backbones, distil.sources, distil.methods, distil.losses)),
        ("run.distil", (distil.backbones, distil.datasets, distil.sources, distil.methods, distil.losses)),
    ]


def _said(cell: tuple) -> str:
    return " × ".join(map(str, cell))
