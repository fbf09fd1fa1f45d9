"""Shapes of arrays, checked while tests run: what functions take and give is as their annotations say.

`install`, called before crossgap is imported, wraps every function of crossgap whose annotations name a shape, such as
`Float[np.ndarray, "n d"]`, and every dataclass and named tuple with such a field. A name stands for one length in all
arguments and the result of a call. Only annotations that name a shape are checked.

What isn't as annotated, a function must refuse by an error of its own, which tests of bad input see unchanged. Taken
without a word, it raises `ShapeError`; so does a result that isn't as annotated.

The modules import the names of shapes for type checkers alone, so neither they nor the code's digest need jaxtyping;
its own import hook takes annotations with such names for `Any`.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

import jaxtyping
import numpy as np
from beartype import BeartypeConf
from beartype.door import is_bearable

KINDS = {
    name: getattr(jaxtyping, name)
    for name in (
        "Bool", "Float", "Float32", "Float64", "Int", "Int32", "Int64", "Integer", "Num", "Real", "Shaped", "UInt8",
        "UInt64",
    )
}  # fmt: skip
_CONF = BeartypeConf(is_pep484_tower=True)  # an int is a float
_DECORATOR = "_with_checked_shapes"


class ShapeError(AssertionError):
    """A function took or gave an array that its annotations exclude."""


def install() -> None:
    """Check the modules of crossgap that are imported from now on."""
    loaded = [name for name in sys.modules if name.partition(".")[0] == "crossgap"]
    assert not loaded, f"imported before their shapes could be checked: {loaded}"
    sys.meta_path.insert(0, _Finder())


def checked(function: Callable[..., Any], module: str | None = None) -> Callable[..., Any]:
    """The function, of a module, with what it takes and gives checked once it has returned.

    What passed once, by types, kinds and lengths, is known afterwards.
    """
    module = module or function.__module__
    named = {name: text for name, text in function.__annotations__.items() if names_shape(text)}
    places = [
        (place, name) for place, name in enumerate(inspect.signature(function).parameters) if name in named
    ]
    gives, passed = "return" in named, set()

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        result = function(*args, **kwargs)
        values = [args[place] if place < len(args) else kwargs.get(name) for place, name in places]
        kinds = tuple(map(_kind, values)), _kind(result) if gives else None
        if kinds not in passed:
            given = {
                name: value
                for (place, name), value in zip(places, values, strict=True)
                if place < len(args) or name in kwargs
            }
            check(f"{module}.{function.__qualname__}", module, named, given, result)
            passed.add(kinds)
        return result

    return wrapper


def check(what: str, module: str, named: dict[str, str], given: dict[str, Any], result: Any) -> None:
    """Raises ShapeError where what was given, or the result, is not as the annotations `named` say."""

    def differs(name: str, value: Any) -> bool:
        return not is_bearable(value, meaning(named[name], module, "torch" in sys.modules), conf=_CONF)

    with jaxtyping.jaxtyped("context"):
        if wrong := [name for name, value in given.items() if differs(name, value)]:
            said = "; ".join(f"{name}: {named[name]}, not {told(given[name])}" for name in wrong)
            raise ShapeError(f"{what} took {said}")
        if "return" in named and differs("return", result):
            said = ", ".join(f"{name} {told(value)}" for name, value in given.items()) or "no array"
            raise ShapeError(f"{what} of {said} gave {told(result)}, not {named['return']}")


def _kind(value: Any) -> Any:
    """All that a check depends on."""
    try:
        return type(value), value.dtype, value.shape
    except AttributeError:
        held = value.values() if isinstance(value, dict) else value
        return (type(value), *map(_kind, held)) if isinstance(value, dict | list | tuple) else type(value)


def checked_class(kind: type) -> type:
    """The dataclass or named tuple, with its fields checked as it is made."""
    made_by = "__init__" if "__init__" in vars(kind) else "__new__"
    function = vars(kind)[made_by]
    function = getattr(function, "__func__", function)
    fields = inspect.get_annotations(kind)
    # those of a named tuple are wrapped
    function.__annotations__ = {name: getattr(said, "__forward_arg__", said) for name, said in fields.items()}
    setattr(kind, made_by, checked(function, kind.__module__))
    return kind


def names_shape(annotation: object) -> bool:
    return isinstance(annotation, str) and _has_shape(ast.parse(annotation, mode="eval"))


@cache
def meaning(annotation: str, module: str, with_torch: bool) -> Any:
    """What an annotation says, of a module; without torch no features are tensors."""
    names: dict[str, Any] = {**KINDS, "np": np, "Features": np.ndarray}
    if with_torch or "Tensor" in annotation:
        torch = import_module("torch")
        names |= {"torch": torch, "Tensor": torch.Tensor, "Features": np.ndarray | torch.Tensor}
    return eval(annotation, vars(sys.modules[module]), names)


def told(value: Any) -> str:
    """A value's type, and where it has them kind and shape."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(told, value))})"
    name = type(value).__name__
    return f"{name} {value.dtype} {tuple(value.shape)}" if hasattr(value, "dtype") else name


def _has_shape(tree: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in KINDS
        for node in ast.walk(tree)
    )


class _Decorating(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        if _has_shape(node.args) or (node.returns and _has_shape(node.returns)):
            node.decorator_list.append(_decorator(node, "checked"))  # the innermost
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        if any(isinstance(part, ast.AnnAssign) and _has_shape(part.annotation) for part in node.body):
            node.decorator_list.insert(0, _decorator(node, "checked_class"))  # the outermost
        return node


def _decorator(node: ast.FunctionDef | ast.ClassDef, name: str) -> ast.expr:
    made = ast.Attribute(ast.Name(_DECORATOR, ast.Load()), name, ast.Load())
    return ast.fix_missing_locations(ast.copy_location(made, node))


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = _Decorating().visit(ast.parse(self.get_data(path), path))
        return compile(tree, path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, _DECORATOR, sys.modules[__name__])
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "crossgap":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        loader = spec and spec.loader
        if isinstance(loader, SourceFileLoader) and b"from jaxtyping import" in loader.get_data(loader.path):
            spec.loader = _Loader(loader.name, loader.path)
        return spec
