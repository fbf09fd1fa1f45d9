"""What code a result depends on: derived from imports, never listed by hand.

The *import closure* of a module is the module, what it imports, what that imports, and so on, as far as it is ours
(crossgap and the stages). `digests` names what each of these modules does: its syntax tree without comments,
docstrings, layout and what only type checkers read, the same on every version of Python. DVC's dependencies (through
`crossgap.planning.resolve`), the shards in scratch and the provenance of stores and tables all use it.

There are two kinds of modules:

- Most decide values: decoding, transforms, towers, injection, the optimiser, noise, measures. Their source counts.
- `CARRIERS` only carry values from one place to another. They count by the version of their format, and their imports
  are not followed, so that a change in one makes nobody compute again. `tests/test_formats.py` compares the bytes
  that they write with known ones: whoever changes these bytes must raise the version.

A *plugin package* registers modules in its `__init__`, and the program picks some of them by name when it runs. The
argument `chosen` names the picked ones; without it, all modules of the package count. Files of a package that are not
Python, such as YAML, count with the package.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from crossgap import fingerprint
from crossgap.errors import CrossgapError

CARRIERS = {
    "crossgap": 1,
    "crossgap.claims": 1,
    "crossgap.closure": 1,
    "crossgap.errors": 1,
    "crossgap.fingerprint": 1,
    "crossgap.lazy": 1,
    "crossgap.links": 1,
    "crossgap.machine": 1,
    "crossgap.planning.unmeasured": 1,
    "crossgap.prefetching": 1,
    "crossgap.prepared.composed": 1,
    "crossgap.prepared.judgements": 1,
    "crossgap.prepared.manifest": 1,
    "crossgap.prepared.parquet": 1,
    "crossgap.prepared.problems": 1,
    "crossgap.prepared.transformations": 1,
    "crossgap.progress": 1,
    "crossgap.projects": 1,
    "crossgap.projects.files": 1,
    "crossgap.projects.linked": 1,
    "crossgap.projects.pinned": 1,
    "crossgap.stores.chunks": 1,
    "crossgap.stores.engines": 1,
    "crossgap.stores.layout": 1,
    "crossgap.stores.remote": 1,
    "crossgap.stores.shards": 1,
    "crossgap.stores.store": 1,
    "crossgap.stores.temporary": 1,
    "crossgap.stores.writing": 1,
    "crossgap.stores.zipped": 1,
    "crossgap.training.live": 1,
    "stages.common": 1,
}
PLUGINS = ("crossgap.corrections", "crossgap.datasets.readers")
_OURS = ("crossgap", "stages")
_LAZY = "_PUBLIC"  # in a package's `__init__`: name → the module that has it, imported when first used
_REGISTRY = "READERS"  # in a plugin package's: by what a module is picked → the module, imported when used
_SILENT = ("ctx", "kind", "type_comment")  # fields of syntax trees that repeat what other fields say
_TYPING = ("collections.abc", "jaxtyping", "typing")  # whose names' uses count, not their imports
_DEAF = ("property", "cached_property", "cache", "lru_cache", "classmethod", "staticmethod", "contextmanager")


class ClosureError(CrossgapError):
    """A module that is asked for isn't there."""


def digest(*modules: str, chosen: Iterable[str] | None = None) -> str:
    """One hash of all that `digests` finds."""
    return fingerprint.of_json(digests(*modules, chosen=chosen))


def digests(*modules: str, chosen: Iterable[str] | None = None) -> dict[str, str]:
    """Module → a hash of its code, or a carrier's format, for every module of the import closure of `modules`.

    Args:
        chosen: the modules of plugin packages that are picked; all of them, if not given.

    Raises:
        ClosureError: no such module.
    """
    return {
        name: f"format {CARRIERS[name]}" if name in CARRIERS else _digest(_source(name))
        for name in sorted(closure(*modules, chosen=chosen))
    }


def closure(*modules: str, chosen: Iterable[str] | None = None) -> set[str]:
    """Names of `modules` and of all modules that they depend on; arguments and errors as for `digests`."""
    picked = tuple(chosen or ())
    for module in (*modules, *picked):
        if _source(module) is None:
            raise ClosureError(f"no module {module!r}: looked for {_place(module)}.py")
    met: set[str] = set()
    ahead = [*modules, *picked]
    while ahead:
        name = ahead.pop()
        if name in met:
            continue
        met.add(name)
        if (parent := name.rpartition(".")[0]) and _source(parent):
            ahead.append(parent)
        if name in CARRIERS:
            continue
        plugins = members(name) if name in PLUGINS else []
        ahead += [imported for imported in _imported(name) if imported not in plugins]
        ahead += plugins if chosen is None else []
    return met


def members(package: str) -> list[str]:
    """The modules of a plugin package that can be picked: what its `__init__` imports whole or has in `READERS`."""
    source = _source(package)
    whole = {
        f"{package}.{alias.name}"
        for node in (_imports(_tree(source)) if source else ())
        if isinstance(node, ast.ImportFrom) and node.module == package
        for alias in node.names
    }
    return sorted(whole | set(_table(package, _REGISTRY).values()))


def modules(top: str = "crossgap") -> list[str]:
    """Every module of a top package."""
    found = []
    for file in sorted(_place(top).rglob("*.py")):
        parts = (top, *file.relative_to(_place(top)).with_suffix("").parts)
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def _place(module: str) -> Path:
    """The path of a module's file without `.py`, or of a package's folder; stages lie in the working directory."""
    top, *rest = module.split(".")
    return (Path(__file__).parent if top == "crossgap" else Path(top)).joinpath(*rest)


@cache
def _source(module: str) -> Path | None:
    place = _place(module)
    file = place.parent / f"{place.name}.py"
    return file if file.is_file() else _package(place)


def _package(place: Path) -> Path | None:
    file = place / "__init__.py"
    return file if file.is_file() else None


@cache
def _tree(source: Path) -> ast.Module:
    return ast.parse(source.read_text(encoding="utf-8"), source.name)


@cache
def _imported(name: str) -> tuple[str, ...]:
    """Our modules that a module imports, at its top or in a function; not those that only type checkers read."""
    source = _source(name)
    if source is None:
        return ()
    package = name if source.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in _imports(_tree(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _of_import(alias.name, ())
        else:
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            found |= _of_import(
                ".".join([*above, *filter(None, [node.module])]), [alias.name for alias in node.names]
            )
    return tuple(sorted(found - {name}))


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports below a node, but for those in the body of `if TYPE_CHECKING`."""
    ahead = [node]
    while ahead:
        one = ahead.pop()
        if isinstance(one, ast.Import | ast.ImportFrom):
            yield one
        elif isinstance(one, ast.If) and _for_checkers(one):
            ahead += one.orelse
        # no expression holds one
        elif isinstance(one, ast.mod | ast.stmt | ast.ExceptHandler | ast.match_case):
            ahead += ast.iter_child_nodes(one)


def _of_import(module: str, names: Iterable[str]) -> set[str]:
    """Our modules that `import module`, or `from module import names`, runs."""
    if module.partition(".")[0] not in _OURS:
        return set()
    found = {module} if _source(module) else set()
    lazy = _lazy(module)
    for name in names:
        if _source(f"{module}.{name}") is not None and name not in lazy:
            found.add(f"{module}.{name}")
        elif name in lazy:
            found.add(lazy[name])
    return found


def _lazy(package: str) -> dict[str, str]:
    """Name → module of what a package imports when it is first used."""
    return _table(package, _LAZY)


@cache
def _table(package: str, name: str) -> dict[str, str]:
    """The literal of this name in a package's `__init__`; empty where there is none."""
    source = _source(package)
    if source is None or source.name != "__init__.py":
        return {}
    for node in _tree(source).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == [name]:
            return ast.literal_eval(node.value)
    return {}


@cache
def _digest(source: Path) -> str:
    parts = ["".join(_said(_tree(source), [])).encode()]
    if source.name == "__init__.py":
        parts += [part for file in _beside(source.parent) for part in (file.name.encode(), file.read_bytes())]
    return fingerprint.of_bytes(*parts)


def _beside(folder: Path) -> list[Path]:
    """A package's files that are no Python, also in folders that are no packages."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__" and _package(path) is None:
            found += _beside(path)
        elif path.is_file() and path.suffix not in (".py", ".pyc"):
            found.append(path)
    return found


def _said(node: object, out: list[str], hints: bool = False) -> list[str]:
    """A syntax tree as text that no version of Python writes otherwise, behind what `out` holds.

    Without docstrings, and without what only type checkers read: annotations, but where `hints` says that they have a
    meaning at run time, what is imported for them, and what isn't run.
    """
    if isinstance(node, ast.AnnAssign) and node.value is not None and not hints:
        node = ast.Assign([node.target], node.value)
    if isinstance(node, ast.AST):
        out.append(f"{type(node).__name__}(")
        for name in node._fields:
            value, below = getattr(node, name, None), _hints(node, name, hints)
            annotates = name in ("annotation", "returns") and not below
            if value is not None and value != [] and name not in _SILENT and not annotates:
                out.append(f"{name}=")
                _said(value, out, below)
        out.append(")")
    elif isinstance(node, list):
        out.append("[")
        for value in _run(node, hints):
            _said(value, out, hints)
            out.append(",")
        out.append("]")
    else:
        out.append(ascii(node))
    return out


def _hints(node: ast.AST, field: str, around: bool) -> bool:
    """Whether annotations in a field of a node have a meaning at run time, as they have, or not, around it.

    Those in a class's body have: they are the fields of dataclasses, named tuples and pydantic's models. Those of a
    function have where a decorator may read them.
    """
    if isinstance(node, ast.ClassDef):
        return field == "body"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        names = [getattr(getattr(one, "func", one), "id", "") for one in node.decorator_list]
        return field in ("args", "returns") and not set(names) <= set(_DEAF)
    return around


def _run(nodes: list, hints: bool) -> Iterator[object]:
    """Those of a list's nodes that do something."""
    for node in nodes:
        if isinstance(node, ast.If) and _for_checkers(node):
            yield from _run(node.orelse, hints)
            continue
        says = isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)
        declares = isinstance(node, ast.AnnAssign) and node.value is None and not hints
        if not says and not declares and not (isinstance(node, ast.ImportFrom) and node.module in _TYPING):
            yield node


def _for_checkers(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
