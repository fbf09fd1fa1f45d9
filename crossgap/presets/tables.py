"""Published tables: which backbones, which datasets, which inversions and corrections of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossgap.presets.preset import NO_INVERSIONS, Params, Preset, by_the_papers_recipe, cells, untrained

COOP = (
    "imagenet", "caltech101", "pets", "cars", "flowers", "food101", "aircraft", "sun397", "dtd", "eurosat", "ucf101",
)  # fmt: skip
LANDMARKS = ("roxford5k", "rparis6k")
CAPTIONS = ("coco", "flickr30k", "nocaps")
DOCUMENTS = (
    "imdb", "newsgroups", "nanoclimatefever", "nanodbpedia", "nanofever", "nanonfcorpus", "nanonq", "nanoscidocs",
    "nanoscifact",
)  # fmt: skip
SLIP = ("slip-b16", "slip-l16")
CLIPS = ("openai-b32", "openai-l14", "datacomp-b32", "datacomp-l14", "siglip-b16")


def table(
    words: str,
    backbones: Sequence[str],
    datasets: Sequence[str],
    *methods: str,
    corrections: Sequence[str] = (),
    tokens: Sequence[int] = (),
    oti: dict[str, Any] | None = None,
) -> Preset:
    """Every backbone on every dataset, with these inversions by Cross the Gap's recipe.

    Args:
        methods: `oti`, `ovi`.
        corrections: that are evaluated beside.
        tokens: of the step × token sweep.
        oti: fields of the section that differ from the paper's recipe.
    """
    chosen = cells(backbones, datasets)

    def change(params: Params) -> Params:
        run = {**chosen, **NO_INVERSIONS, **dict.fromkeys(methods, chosen), "imports": []}
        if tokens:
            run["sweep"] = {**chosen, "tokens": list(tokens)}
        return untrained(params) | {
            "run": run,
            "oti": by_the_papers_recipe(params["oti"]) | (oti or {}),
            "ovi": by_the_papers_recipe(params["ovi"]),
            "evaluate": params["evaluate"] | {"corrections": list(corrections)},
        }

    return Preset(words, change, backbones, datasets)


FIFTEEN = ("cub", "sop", *LANDMARKS, *COOP)
TABLES = {
    "cross-the-gap-table1": table(
        "Cross the Gap (2502.04263), image-to-image retrieval: OTI, 15 sets × 7 backbones",
        (*CLIPS, *SLIP), FIFTEEN, "oti",
    ),
    "cross-the-gap-table2": table(
        "Cross the Gap, text-to-text retrieval: OVI, 3 sets of captions × 5 backbones", CLIPS, CAPTIONS, "ovi"
    ),
    "cross-the-gap-documents": table(
        "Cross the Gap, text-to-text retrieval on the 9 sets that its code adds: OVI × 5 backbones",
        CLIPS, DOCUMENTS, "ovi",
    ),
    "cross-the-gap-table3": table(
        "Cross the Gap, zero-shot made intra-modal by OTI of images and by OVI of class names: 11 sets × 5 backbones",
        CLIPS, COOP, "oti", "ovi",
    ),
    "cross-the-gap-sweep": table(
        "Cross the Gap, step × token figure: R = 1, 2, 4, 8, 16 to step 1000, ViT-B/32 on Cars",
        ("openai-b32",), ("cars",), "oti",
        tokens=(2, 4, 8, 16),
        oti={"steps": 1000, "snapshots": [1, 2, 5, 10, 17, 25, 35, 50, 75, 100, 150, 250, 500, 750]},
    ),
    "cross-the-gap-slip": table(
        "Cross the Gap, what an intra-modal term in pre-training leaves to OTI: SLIP and the CLIP of its release",
        ("slip-clip-b16", *SLIP), FIFTEEN, "oti",
    ),
    "dogs-vs-cats": table(
        "Cross the Gap's and Reevaluating's (2603.16100) control: CLIP with OTI and PCA⁺ beside DINOv2 and DINOv3",
        ("openai-b32", "openai-b16", "dinov2-b14", "dinov3-l16"), ("dogs-vs-cats",), "oti",
        corrections=("pca_plus",),
    ),
    "reevaluating-table3": table(
        "Reevaluating (2603.16100), Table 3: OTI and PCA⁺, 13 image sets × 4 backbones",
        ("openai-b32", "openai-l14", "siglip-b16", "slip-b16"), (*LANDMARKS, *COOP), "oti",
        corrections=("pca_plus",),
    ),
    "reevaluating-controls": table(
        "Reevaluating, the same 13 sets by SigLIP2 and DINOv3: PCA⁺, no inversion",
        ("siglip2-b16", "dinov3-l16"), (*LANDMARKS, *COOP),
        corrections=("pca_plus",),
    ),
    "isoclip-images": table(
        "IsoCLIP (2603.19862), image-to-image: OTI and IsoCLIP, 13 sets × 6 backbones",
        ("openai-b32", "openai-b16", "openai-l14", "datacomp-b16", "siglip2-b16", "pe-core-b16"),
        ("cub", *LANDMARKS, *COOP[1:]), "oti",
        corrections=("isoclip",),
    ),
    "isoclip-texts": table(
        "IsoCLIP, text-to-text: OVI and IsoCLIP, 3 sets of captions × 4 backbones",
        ("openai-b32", "openai-b16", "openai-l14", "datacomp-b16"), CAPTIONS, "ovi",
        corrections=("isoclip",),
    ),
}  # fmt: skip
