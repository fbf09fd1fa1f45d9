"""One name, one thing: no two classes share a name, and what a package offers is a module or an object, never both."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import crossgap
from crossgap import closure

FOLDER = Path(crossgap.__file__).parent


def defined(tree: ast.Module) -> set[str]:
    """Names that a module binds at its top, but for modules that it imports whole."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_no_two_classes_share_a_name() -> None:
    where = defaultdict(list)
    for name in closure.modules():
        for node in closure._tree(closure._source(name)).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(name)
    assert len(where) > 100
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}


def test_what_a_package_offers_is_a_module_or_an_object_never_both() -> None:
    """Else importing the module would put it in the object's place."""
    for init in sorted(FOLDER.rglob("__init__.py")):
        package = ".".join(["crossgap", *init.parent.relative_to(FOLDER).parts])
        inside = {path.stem for path in init.parent.glob("*.py")} | {
            path.name for path in init.parent.iterdir()
        }
        imported = {
            alias.asname or alias.name
            for node in closure._imports(closure._tree(init))
            if isinstance(node, ast.ImportFrom) and node.module != package
            for alias in node.names
        }
        offered = defined(closure._tree(init)) | imported | set(closure._lazy(package))
        assert not offered & inside, package
