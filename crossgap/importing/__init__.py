"""Features computed elsewhere → feature store: arrays from files, checked and given their provenance."""

from crossgap.importing.clip_retrieval import from_clip_retrieval
from crossgap.importing.features import import_features, shared_ids
from crossgap.importing.files import Assignment, FeatureImportError

__all__ = ["Assignment", "FeatureImportError", "from_clip_retrieval", "import_features", "shared_ids"]
