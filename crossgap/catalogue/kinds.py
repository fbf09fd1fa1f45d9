"""The kinds of towers that registered models have, read from their configurations: neither torch nor open_clip is
imported.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from crossgap.backbones import towers
from crossgap.catalogue import registered

FROM_THE_HUB = "from Hugging Face"
# timm's families by the start of the architecture's name, the first that fits: what it is, how it is pooled by itself
_TRUNKS = {
    "eva": ("timm Eva", "token"),
    "vit_pe": ("timm Eva", "map"),
    "swin": ("timm SwinTransformer", "avg"),
    "vitamin": ("timm VisionTransformer behind a convolutional stem", "avg"),
    "vit_base_mci": ("timm VisionTransformer behind a convolutional stem", "avg"),
    "vit_relpos": ("timm VisionTransformerRelPos", "token"),
    "vit_medium_patch16_gap": ("timm VisionTransformer", "avg"),
    "vit": ("timm VisionTransformer", "token"),
}
_POOLS = {"tok": "class token", "token": "class token", "map": "attention pool", "avg": "mean of the patches"}
_TEXT_POOLS = {"argmax": "end token", "eos": "end token, found by its id", "last": "last position"}


class Kind(NamedTuple):
    """A model's towers.

    Attributes:
        dim: width of the features.
        text: the text tower in words, and the width of its tokens; no width where a hub tells it.
        vision: the vision tower in words, and the width of its patches; no width where timm tells it.
        oti, ovi: whether it can be inverted into: "fast" by open_clip's own blocks, computed directly; "yes" through
            the model's forward pass; "no".
        oti_hub, ovi_hub: whether that needs transformers and files from Hugging Face.
        activation: of open_clip's own blocks; None where the model has none.
    """

    model: str
    dim: int
    text: str
    text_width: int | None
    vision: str
    vision_width: int | None
    oti: str
    oti_hub: bool
    ovi: str
    ovi_hub: bool
    activation: str | None


def kinds() -> list[Kind]:
    """Of every registered model whose configuration can be read, by name."""
    read = {model: towers.configuration(model) for model in registered.models()}
    return [_kind(model, config) for model, config in read.items() if config is not None]


def _kind(model: str, config: dict[str, Any]) -> Kind:
    text, vision = config["text_cfg"], config["vision_cfg"]
    convolutional, trunk = towers.convolutional(config), vision.get("timm_model_name")
    hub = "hf_model_name" in text
    oti, ovi = text_of(config), vision_of(config)
    return Kind(
        model=model,
        dim=config["embed_dim"],
        text=oti,
        text_width=None if hub else text.get("width", 512),
        vision=ovi,
        vision_width=None if trunk or convolutional else vision.get("width", 768),
        oti="fast" if oti.startswith("causal, read at the end token") else "yes",
        oti_hub=hub or "hf_tokenizer_name" in text,
        ovi="no" if convolutional else "fast" if ovi == "open_clip ViT, class token" else "yes",
        ovi_hub=hub,
        activation=None if hub and trunk else _activation(config),
    )


def text_of(config: dict[str, Any]) -> str:
    """A text tower in words: what a position sees, and where the feature is read."""
    text = config["text_cfg"]
    if "hf_model_name" in text:
        return FROM_THE_HUB
    if text.get("embed_cls"):
        return "causal, read at an appended class token (CoCa)"
    pool = text.get("pool_type", "argmax")
    masked = "not causal" if text.get("no_causal_mask") else "causal"
    return f"{masked}, read at the {_TEXT_POOLS.get(pool, pool)}"


def vision_of(config: dict[str, Any]) -> str:
    """A vision tower in words: whose it is, and what the feature is made from."""
    if kind := towers.convolutional(config):
        return kind
    vision = config["vision_cfg"]
    if (trunk := vision.get("timm_model_name")) is None:
        pool = "map" if vision.get("attentional_pool") else vision.get("pool_type", "tok")
        return f"open_clip ViT, {_POOLS.get(pool, pool)}"
    known = (about for start, about in _TRUNKS.items() if trunk.startswith(start))
    kind, pool = next(known, (f"timm {trunk}", ""))
    pool = vision.get("timm_pool") or pool
    return f"{kind}, {_POOLS.get(pool, 'pooled as timm does')}"


def _activation(config: dict[str, Any]) -> str:
    if config.get("quick_gelu"):
        return "QuickGELU"
    tanh = config["text_cfg"].get("act_kwargs", {}).get("approximate") == "tanh"
    return "GELU by tanh" if tanh else "GELU"
