"""How far apart are the two modalities of a CLIP-style model, what does it cost, and what helps?

A cell is one backbone on one dataset. Its way through the pipeline, a stage of DVC each (`stages/`):

    declaration (params.yaml) → `datasets` reads what lies on the disk → manifest, a row an item (`prepared`)
    → `encode` runs a backbone (`backbones`) → feature store (`stores`)
    → `inversion` finds pseudo-tokens for its items (OTI, OVI, or φ, distilled from them) → inversion store
    → `evaluation` applies `metrics` and `corrections` to both → tables of one cell → `report` draws all cells

`importing` makes a feature store of features that were computed elsewhere, and `exporting` files for other tools;
`training` makes backbones.

The folders, in layers. Each imports only from the layers above it in this list; `tests/test_layers.py` checks it:

     1. `errors`; `controls`; `fingerprint`; `keyed`; `naming`; `relevances`; `libraries`; `lazy`, `machine`, `progress`
     2. `strict`; `arrays`; `claims`; `closure`; `links`; `numbers`; `prepared`; `prefetching`; `projects`; `unpickling`
     3. `metrics`: retrieval, the gap, classification, … of arrays; `losses`: of torch
     4. `corrections`: fitted on arrays; they change features, or rank with a bias that metrics take
     5. `stores`: features on disk, and functions run shard by shard; `presets`: the settings of published studies
     6. `backbones`: one interface to every model; `datasets`: declarations, readers and what is made of both
     7. `encode`, `importing`
     8. `training`; `exporting`; `layerwise`; `catalogue`: the backbones and datasets that are known by name
     9. `inversion`, whose φ is trained; `evaluation`
    10. `params`: `params.yaml`; `report`: one HTML page
    11. `planning`: which cells there are, what they cost, what each depends on; `papers`: their tables and figures
    12. `cli`: the commands
    13. `command`: the program that gives them

To add
- a dataset of a known layout: a row in `params.yaml`, or in `catalogue/datasets/*.yaml`;
- a layout: a declaration like `Coop` in `datasets/declared/images.py`, listed in `datasets/declared/__init__.py`; a
  reader like `datasets/readers/coop.py`; and its line in `READERS` (`datasets/readers/__init__.py`);
- a backbone: a row in `params.yaml`, or in `catalogue/backbones.yaml`;
- a correction: a module like `corrections/centering.py`, and its line in `RIVALS` (`corrections/__init__.py`);
- a loss: a module like `losses/contrastive.py`, its name in `losses/__init__.py`, and what it takes in
  `losses/weighted.py`;
- a measure of the gap: a function like `uniformity` in `metrics/gap/measures.py`, and its line in `gap_measures` there;
- a measure of a ranking: a column of `plain` in `metrics/retrieval/scores.py`.
"""

from typing import Any

from crossgap.lazy import when_used

_PUBLIC = {
    "load_backbone": "crossgap.backbones",
    "oti": "crossgap.inversion.invert",
    "ovi": "crossgap.inversion.invert",
    "distil": "crossgap.inversion.distil",
    "load_distilled": "crossgap.inversion.phi",
    "retrieval_metrics": "crossgap.metrics.retrieval",
    "judged_metrics": "crossgap.metrics.retrieval",
    "gap_metrics": "crossgap.metrics.gap",
    "open_store": "crossgap.stores.store",
    "read_metrics": "crossgap.numbers",
}
_MODULES = {
    "corrections": "crossgap.corrections",
    "losses": "crossgap.losses",
    "significance": "crossgap.metrics.significance",
}
__all__ = [*_PUBLIC, *_MODULES]


_get, __dir__ = when_used(__name__, _PUBLIC, _MODULES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("crossgap")
    return _get(name)
