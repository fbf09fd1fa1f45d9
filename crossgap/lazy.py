"""Names of a package that are imported when they are first used.

So `import crossgap` costs neither torch nor open_clip, and whoever needs one module of a package loads no other.
`closure` reads the table of a package, which its `__init__` calls `_PUBLIC`: a result depends on those modules alone
whose names are used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def when_used(
    package: str, public: Mapping[str, str], modules: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package.

    Args:
        package: its name.
        public: name → the module that defines it.
        modules: name → the module that is meant by it.
    """
    modules = modules or {}

    def get(name: str) -> Any:
        if name in public:
            return getattr(import_module(public[name]), name)
        if name in modules:
            return import_module(modules[name])
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *public, *modules})

    return get, names
