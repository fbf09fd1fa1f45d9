"""Nothing imports upwards: the layers of the package's docstring, checked on the graph of its imports."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

import crossgap
from crossgap import closure

ORDER = [
    re.findall(r"`(\w+)`", line) for line in re.findall(r"^ +\d+\. (.+)$", crossgap.__doc__, re.MULTILINE)
]
ARRAYS_ALONE = {"errors", "fingerprint", "lazy", "arrays", "prepared"}


def part(module: str) -> str:
    """The folder, or the single file, of the package that a module is in."""
    return module.split(".")[1]


def graph() -> dict[str, dict[str, list[str]]]:
    """Part → part that it imports → by which modules, wherever in these an import stands."""
    found: dict = defaultdict(lambda: defaultdict(list))
    for module in closure.modules():
        for imported in closure._imported(module):
            if module != "crossgap" and imported.startswith("crossgap.") and part(imported) != part(module):
                found[part(module)][part(imported)].append(module)
    return found


GRAPH = graph()


def test_every_part_has_one_place_in_the_order() -> None:
    parts = [name for layer in ORDER for name in layer]
    assert sorted(parts) == sorted({part(module) for module in closure.modules() if module != "crossgap"})
    assert sum(len(imported) for imported in GRAPH.values()) > 60


@pytest.mark.parametrize("name", [name for layer in ORDER for name in layer])
def test_a_part_imports_only_from_the_layers_below_its_own(name) -> None:
    """So there is no cycle between parts either."""
    layer = next(number for number, names in enumerate(ORDER) if name in names)
    below = {found for names in ORDER[:layer] for found in names}
    assert {found: by for found, by in GRAPH[name].items() if found not in below} == {}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("metrics", ARRAYS_ALONE | {"machine", "progress"}),
        ("corrections", ARRAYS_ALONE | {"metrics"}),
        ("losses", ARRAYS_ALONE),
        ("report", {"errors", "losses", "catalogue", "naming", "relevances"}),
    ],
)
def test_what_works_on_arrays_or_tables_imports_nothing_else(name, allowed) -> None:
    assert set(GRAPH[name]) <= allowed


def test_params_are_read_by_the_plan_and_the_commands_alone() -> None:
    assert {name for name, imported in GRAPH.items() if "params" in imported} == {"planning", "cli"}
