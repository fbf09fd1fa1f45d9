"""Studies as changes of params.yaml, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from crossgap import losses
from crossgap.params import TRAINED

NONE = {"backbones": [], "datasets": []}
NO_INVERSIONS = {
    "oti": NONE,
    "ovi": NONE,
    "sweep": {**NONE, "tokens": []},
    "seeds": {**NONE, "methods": [], "seeds": []},
}
SEEDS = (0, 1, 2)


def untrained(params: dict[str, Any]) -> dict[str, Any]:
    """Params without trainings and the backbones that these make."""
    made = {*params["finetune"], *params["pretrain"]}
    catalogue = {name: row for name, row in params["backbones"].items() if name not in made}
    return params | {"backbones": catalogue, "finetune": {}, "pretrain": {}, "idealised": {}}


def contrastive_gap(
    base: str, dataset: str, widths: Iterable[int], **recipe: Any
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """CLIP, CUA and CUAXU over widths of the projections and seeds (It's Not a Modality Gap, section 5)."""

    def change(params: dict[str, Any]) -> dict[str, Any]:
        rows = {
            f"{base}-{name}-{width}-{seed}": {
                "backbone": base,
                "dataset": dataset,
                "losses": dict.fromkeys(terms, 1),
                "width": width,
                "seed": seed,
                **recipe,
            }
            for name, terms in losses.SUMS.items()
            for width in widths
            for seed in SEEDS
        }
        settings = {name: params["backbones"][base][name] for name in ("oti", "ovi")}
        made = {name: {"weights": {"model": TRAINED.format(name)}, **settings} for name in rows}
        alone = untrained(params)
        return alone | {
            "backbones": alone["backbones"] | made,
            "finetune": rows,
            "run": {"backbones": [base, *rows], "datasets": [dataset], **NO_INVERSIONS, "imports": []},
            "evaluate": params["evaluate"] | {"corrections": []},
        }

    return change


def intra_modal(params: dict[str, Any]) -> dict[str, Any]:
    """The embedded backbone with and without SLIP's term, and what OTI gains on both (Cross the Gap, section 5)."""
    name = "nano-slip"
    # views that keep what the captions speak of: no mirroring, no change of hue, no grey
    augment = {"crop": 0.5, "flip": 0.0, "hue": 0.0, "grey": 0.0}
    row = {**params["backbones"]["nano"], "weights": {"model": TRAINED.format(name)}}
    alone = untrained(params)
    cells = {"backbones": ["nano", name], "datasets": ["world"]}
    return alone | {
        "backbones": alone["backbones"] | {name: row},
        "pretrain": {name: {"intra_modal": {"weight": 1.0, "images": 64, "augment": augment}}},
        "run": {**cells, **NO_INVERSIONS, "oti": cells, "imports": []},
    }


def idealised_sweep(params: dict[str, Any]) -> dict[str, Any]:
    """Two encoders of the same images over widths, batch sizes, temperatures and seeds (section 4 of the same)."""
    sweep = {"widths": [8, 128], "batch_sizes": [16, 256], "temperatures": [0.01, 0.5], "seeds": [1]}
    row = {
        "dataset": "world",
        "images": 256,
        "run": {"width": 64, "batch_size": 64, "temperature": 0.07, "lr": 5e-4, "epochs": 60},
        "sweep": sweep,
        "toy": {"images": 256, "batch_sizes": [3, 8, 12], "epochs": 20},
    }
    return params | {"idealised": {"world": row}}


PRESETS: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "contrastive-gap-world": (
        "CLIP, CUA, CUAXU × 2 widths × 3 seeds on the embedded world",
        contrastive_gap("nano", "world", (32, 64), silent_on=["texture"], lr=5e-4, projection_lr=2e-3),
    ),
    "contrastive-gap-coco": (
        "the same by the paper's recipe: OpenAI ViT-B/32 on COCO, 3 widths × 3 seeds; declare the dataset `coco`",
        contrastive_gap("openai-b32", "coco", (32, 64, 128)),
    ),
    "idealised-world": (
        "two encoders of the same images over widths, batch sizes, temperatures, 2 seeds: dvc repro idealised@world",
        idealised_sweep,
    ),
    "intra-modal": (
        "the embedded backbone trained with and without SLIP's term, and OTI on both",
        intra_modal,
    ),
}


def applied(name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Params, as read from YAML, with a preset's changes.

    Raises:
        ValueError: no preset of this name.
    """
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name][1](params)
