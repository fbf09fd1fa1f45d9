"""Datasets: `declared` has the rows of params.yaml, `readers` read each layout, `preparing` makes the manifest."""

from crossgap.lazy import when_used

_PUBLIC = {
    "Declaration": "crossgap.datasets.declared",
    "LAYOUTS": "crossgap.datasets.declared",
    "Controls": "crossgap.datasets.declared.base",
    "Dataset": "crossgap.datasets.declared.base",
    "DatasetError": "crossgap.errors",
    "NAME": "crossgap.datasets.declared.base",
    "Name": "crossgap.datasets.declared.base",
    "OnDisk": "crossgap.datasets.declared.base",
    "Retrieval": "crossgap.datasets.declared.base",
    "Size": "crossgap.datasets.declared.base",
    "Split": "crossgap.datasets.declared.base",
    "Texts": "crossgap.datasets.declared.texts",
}
__all__ = list(_PUBLIC)
__getattr__, __dir__ = when_used(__name__, _PUBLIC)
