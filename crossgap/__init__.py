"""How far apart are the two modalities of a CLIP-style model, what does it cost, and what helps?"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "load_backbone": "crossgap.backbones",
    "oti": "crossgap.inversion.invert",
    "ovi": "crossgap.inversion.invert",
    "retrieval_metrics": "crossgap.metrics.retrieval",
    "judged_metrics": "crossgap.metrics.retrieval",
    "gap_metrics": "crossgap.metrics.gap",
    "open_store": "crossgap.stores.store",
}
_MODULES = {
    "corrections": "crossgap.corrections",
    "losses": "crossgap.losses",
    "significance": "crossgap.metrics.significance",
}
__all__ = [*_PUBLIC, *_MODULES]


def __getattr__(name: str) -> Any:
    # imported when first used: `import crossgap` costs neither torch nor open_clip
    if name == "__version__":
        from importlib.metadata import version

        return version("crossgap")
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
