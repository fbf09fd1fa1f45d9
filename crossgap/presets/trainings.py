"""Studies in which backbones are trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crossgap import losses
from crossgap.presets.preset import NO_INVERSIONS, Params, Preset, by_the_papers_recipe, cells, untrained

SEEDS = (0, 1, 2)
PAPER = ("clip", "cua", "cuaxu")
# ModGap's public code keeps its temperature at 0.1 and has CLIP beside it so, and with a temperature that is learned,
# which begins where CLIP's own did. CLIP-Refine keeps the projections of the backbone that it refines.
RIVALS: dict[str, dict[str, Any]] = {
    "scaled-64": {"losses": {"scaled_denominator": 1}, "width": 64},
    "learned-64": {"losses": {"clip": 1}, "width": 64, "temperature": 0.07, "learn_temperature": True},
    "soft-64": {"losses": {"clip": 1}, "width": 64, "temperature": 0.1},
    "modgap-64": {"losses": dict.fromkeys(losses.SUMS["modgap"], 1), "width": 64, "temperature": 0.1},
    "clip-own": {"losses": {"clip": 1}},
    "refine-own": {"losses": dict.fromkeys(losses.SUMS["clip-refine"], 1)},
}


def contrastive_gap(
    words: str,
    base: str,
    dataset: str,
    widths: Iterable[int],
    others: Sequence[str] = (),
    rivals: Mapping[str, Mapping[str, Any]] | None = None,
    **recipe: Any,
) -> Preset:
    """CLIP, CUA and CUAXU over widths of the projections and seeds (It's Not a Modality Gap, section 5).

    Args:
        others: datasets that what is trained is evaluated on beside its own.
        rivals: name → fields of further recipes, each with every seed.
        recipe: fields of every row; `projection_lr` only of those with new projections.
    """

    def row(fields: Mapping[str, Any], seed: int) -> dict[str, Any]:
        shared = {key: value for key, value in recipe.items() if "width" in fields or key != "projection_lr"}
        return {"backbone": base, "dataset": dataset, **fields, "seed": seed, **shared}

    def change(params: Params) -> Params:
        kinds: dict[str, Mapping[str, Any]] = {
            f"{name}-{width}": {"losses": dict.fromkeys(losses.SUMS[name], 1), "width": width}
            for name in PAPER
            for width in widths
        }
        kinds |= rivals or {}
        rows = {
            f"{base}-{name}-{seed}": row(fields, seed) for name, fields in kinds.items() for seed in SEEDS
        }
        return untrained(params) | {
            "finetune": rows,
            "run": {**cells((base, *rows), (dataset, *others)), **NO_INVERSIONS, "imports": []},
            "evaluate": params["evaluate"] | {"corrections": []},
        }

    return Preset(words, change, (base,), (dataset, *others))


def gap_experiment(words: str, base: str, dataset: str, images: Sequence[str]) -> Preset:
    """OTI on a backbone fine-tuned with the gap kept (temperature 0.01) and closed (1) (Cross the Gap, section 6)."""

    def change(params: Params) -> Params:
        recipe = {"backbone": base, "dataset": dataset, "losses": {"clip": 1}}
        rows = {
            f"{base}-gap": {**recipe, "temperature": 0.01},
            f"{base}-no-gap": {**recipe, "temperature": 1},
        }
        run = {**cells((base, *rows), (dataset, *images)), **NO_INVERSIONS, "imports": []}
        return untrained(params) | {
            "finetune": rows,
            "run": run | {"oti": cells((base, *rows), images)},
            "oti": by_the_papers_recipe(params["oti"]),
            "evaluate": params["evaluate"] | {"corrections": []},
        }

    return Preset(words, change, (base,), (dataset, *images))


def _intra_modal(params: Params) -> Params:
    """The embedded backbone with and without SLIP's term, and what OTI gains on both (Cross the Gap, section 5)."""
    name = "nano-slip"
    # views that keep what the captions speak of: no mirroring, no change of hue, no grey
    augment = {"crop": 0.5, "flip": 0.0, "hue": 0.0, "grey": 0.0}
    both = cells(("nano", name), ("world",))
    return untrained(params) | {
        "pretrain": {name: {"intra_modal": {"weight": 1.0, "images": 64, "augment": augment}}},
        "run": {**both, **NO_INVERSIONS, "oti": both, "imports": []},
    }


def _idealised_world(params: Params) -> Params:
    """Two encoders of the same images over widths, batch sizes, temperatures and seeds (section 4 of the same).

    Beside it what the paper leaves out: mismatched pairs, clouds that start apart, and one encoder that is both.
    """
    run = {"width": 64, "batch_size": 64, "temperature": 0.07, "lr": 5e-4, "epochs": 60}
    apart: dict[str, list] = {"mismatched": [0.25, 0.5], "gaps": [0.5, 1.0], "seeds": [1]}
    row = {
        "dataset": "world",
        "images": 256,
        "run": run,
        "sweep": {"widths": [8, 128], "batch_sizes": [16, 256], "temperatures": [0.01, 0.5], **apart},
        "toy": {"images": 256, "batch_sizes": [3, 8, 12], "epochs": 20},
    }
    shared = {"dataset": "world", "images": 256, "run": {**run, "shared": True}, "sweep": apart}
    return params | {"idealised": {"world": row, "world-shared": shared}}


def _idealised_coco(params: Params) -> Params:
    """The same at the paper's size, which is what a row doesn't give, with both of its temperatures and batches."""
    row = {
        "dataset": "coco-2017",
        "architecture": "ViT-B-32",
        "sweep": {"batch_sizes": [64], "temperatures": [0.01]},
        "toy": {},
    }
    run = {**cells(("openai-b32",), ("coco-2017",)), **NO_INVERSIONS, "imports": []}
    return untrained(params) | {"idealised": {"coco-2017": row}, "run": run}


TRAININGS = {
    "contrastive-gap-world": contrastive_gap(
        "CLIP, CUA, CUAXU × 2 widths on the embedded world; ModGap, CLIP-Refine, temperatures; 3 seeds each",
        "nano",
        "world",
        (32, 64),
        rivals=RIVALS,
        silent_on=["texture"],
        lr=5e-4,
        projection_lr=2e-3,
    ),
    "contrastive-gap-coco": contrastive_gap(
        "It's Not a Modality Gap (2405.18570), gap and retrieval: ViT-B/32 on COCO, 3 losses × 3 widths × 3 seeds",
        "openai-b32",
        "coco-2017",
        (32, 64, 128),
    ),
    "contrastive-gap-transfer": contrastive_gap(
        "It's Not a Modality Gap, the same with its zero-shot tables and SIMAT",
        "openai-b32",
        "coco-2017",
        (32, 64, 128),
        others=("cifar10", "cifar100", "imagenet", "dtd", "caltech101", "simat"),
    ),
    "cross-the-gap-temperature": gap_experiment(
        "Cross the Gap, gap kept or closed by the temperature: ViT-B/32 fine-tuned on COCO, OTI on 5 image sets",
        "openai-b32",
        "coco-2017",
        ("cub", "sop", "roxford5k", "rparis6k", "cars"),
    ),
    "idealised-world": Preset(
        "two encoders, or one, of the same images over widths, batches, temperatures, mismatches, starts; 2 seeds: "
        "`dvc repro -R stages/idealised`",
        _idealised_world,
        (),
        ("world",),
    ),
    "idealised-coco": Preset(
        "It's Not a Modality Gap, section 4, at the paper's size: `dvc repro -R stages/idealised`",
        _idealised_coco,
        ("openai-b32",),
        ("coco-2017",),
    ),
    "intra-modal": Preset(
        "the embedded backbone trained with and without SLIP's term, and OTI on both",
        _intra_modal,
        ("nano",),
        ("world",),
    ),
}
