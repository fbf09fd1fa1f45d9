"""Backbones: what they are, what can be inverted into them, where their weights are."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, TypeAdapter

from crossgap.backbones import towers
from crossgap.catalogue import entries, registered
from crossgap.strict import Strict

if TYPE_CHECKING:
    from crossgap.backbones import Backbone

# as open_clip calls them on the hub
_PICKLE, _SAFE = "open_clip_pytorch_model.bin", towers.WEIGHTS


class Cosines(Strict):
    """Known cosines: of the check's image to texts, and of texts `(one, other, cosine)`."""

    known_from: str
    image: dict[str, float] = Field({})
    texts: list[Annotated[tuple[str, str, float], Field(strict=False)]] = Field([])


class Described(Strict):
    """A model's sizes.

    Attributes:
        parameters: their number.
        dim: width of the features.
        widths: by modality, of what a tower's projection is applied to; a tower whose projection can't be told apart
            is left out.
        context: token positions; None of a model without texts.
        image_size: `(height, width)` in pixels.
    """

    parameters: int
    dim: int
    widths: dict[str, int]
    context: int | None
    image_size: Annotated[tuple[int, int], Field(strict=False)]


class BackboneFacts(Strict):
    """What is known of a backbone.

    Attributes:
        source: where its weights are, if neither open_clip nor timm knows it.
        hub: their repository at Hugging Face, if open_clip doesn't know it.
        published: SHA-256 of released files, by name.
        sizes: of the row's model, so that listing builds none.
    """

    title: str
    reference: str
    licence: str
    source: str | None = None
    hub: str | None = None
    published: dict[str, str] = Field({})
    cosines: Cosines | None = None
    sizes: Described | None = None


@cache
def facts() -> dict[str, BackboneFacts]:
    """The facts that the catalogue has, by the names of its rows."""
    return TypeAdapter(dict[str, BackboneFacts]).validate_python(entries.facts("backbones"))


def sizes(model: str) -> Described | None:
    """As `described`, from the catalogue where it has the model."""
    return _catalogued().get(model) or described(model)


@cache
def _catalogued() -> dict[str, Described]:
    rows = entries.rows("backbones")
    return {rows[name]["weights"]["model"]: known.sizes for name, known in facts().items() if known.sizes}


def described(model: str) -> Described | None:
    """Sizes of a model, without its weights: built on the meta device, where tensors have shapes and no content.

    None where only loading can tell: an `hf-hub:` model, a folder that isn't there yet.

    Raises:
        BackboneError: a name that neither open_clip nor timm has, or a model that the libraries at hand can't build.
    """
    backbone = _skeleton(model)
    if backbone is None:
        return None
    module = backbone.model
    found = {modality: backbone.projection(modality) for modality in backbone.modalities}
    projections = {modality: getattr(*place) for modality, place in found.items() if place}
    widths = {
        modality: getattr(held, "in_features", None) or held.shape[0]
        for modality, held in projections.items()
    }
    parameters = sum(parameter.numel() for parameter in module.parameters())
    if "text" not in backbone.modalities:
        trunk = module.visual
        return _described(
            parameters, trunk.num_features, widths, None, trunk.pretrained_cfg["input_size"][1:]
        )
    config = towers.configuration(model)
    if config is None:
        return None
    text = getattr(module, "text", module)
    context = getattr(text, "context_length", config["text_cfg"].get("context_length", 77))
    return _described(parameters, config["embed_dim"], widths, context, module.visual.image_size)


def _described(
    parameters: int, dim: int, widths: dict, context: int | None, size: tuple[int, int] | int
) -> Described:
    return Described(
        parameters=parameters,
        dim=dim,
        widths=widths,
        context=context,
        image_size=(size, size) if isinstance(size, int) else size,
    )


def _skeleton(model: str) -> Backbone | None:
    if model.startswith(towers.HUB_PREFIX):
        return None
    if model.startswith(towers.LOCAL_DIR_PREFIX) and towers.configuration(model) is None:
        return None
    import open_clip
    import torch

    from crossgap.backbones import Backbone, BackboneError, checkpoints, declaring, image_only, loading

    if reason := towers.unloadable(model):
        raise BackboneError(reason)
    meta = torch.device("meta")
    with meta, loading.unasked():
        if model.startswith(towers.TIMM_PREFIX):
            module = image_only.built(model)
        else:
            if not model.startswith(towers.LOCAL_DIR_PREFIX):
                declaring.check_name(model)
            with checkpoints.loading(model), checkpoints.by_library():
                module = open_clip.create_model(model, load_weights=False, device=meta, pretrained_text=False)
    return Backbone(module, None, None, meta, {"model": model})


def supported(model: str) -> dict[str, str | None]:
    """By method, `oti` and `ovi`, why a model can't be inverted into; None where it can, as far as can be told."""
    return {method: towers.image_only(model) or towers.refusal(model, method) for method in ("oti", "ovi")}


def cached(model: str, pretrained: str | None, cache_dir: str | None = None) -> Path | None:
    """The file that the weights would be read from, if it is on this machine; no network is asked."""
    if model.startswith(towers.LOCAL_DIR_PREFIX):
        from crossgap.backbones import weights_files

        found = weights_files.in_folder(Path(model.removeprefix(towers.LOCAL_DIR_PREFIX)))
        return found[0] if found else None
    if pretrained and Path(pretrained).is_file():
        return Path(pretrained)
    repository, names = on_the_hub(model, pretrained)
    if repository is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    tried = (try_to_load_from_cache(repository, name, cache_dir=cache_dir) for name in names)
    return next((Path(file) for file in tried if isinstance(file, str)), None)


def where(name: str, model: str, pretrained: str | None) -> str:
    """Where the weights are to be had."""
    known = facts().get(name)
    if known and known.source:
        return f"{known.source} → {pretrained}" if pretrained else known.source
    repository, _ = on_the_hub(model, pretrained)
    if repository:
        return f"huggingface.co/{repository}, downloaded when first used"
    if model.startswith(towers.LOCAL_DIR_PREFIX):
        return "made by dvc repro, if params.yaml has a training of this name; else put it there"
    return f"put it at {pretrained}"


def on_the_hub(model: str, pretrained: str | None) -> tuple[str | None, list[str]]:
    """The repository at Hugging Face, if the weights come from one, and the names of files to look for, in order."""
    if model.startswith(towers.TIMM_PREFIX):
        if pretrained:
            return None, []
        if repository := _timms().get(model):
            return repository, ["model.safetensors"]
        from timm.models import get_pretrained_cfg

        config = get_pretrained_cfg(model.removeprefix(towers.TIMM_PREFIX))
        repository = config.hf_hub_id if config else None
        file = (config.hf_hub_filename if config else None) or "model.safetensors"
        return repository and repository.partition("@")[0], [file]
    if model.startswith(towers.HUB_PREFIX):
        repository, file = model.removeprefix(towers.HUB_PREFIX), ""
    else:
        tag = (registered.tag(model, pretrained) if pretrained else None) or {}
        repository, _, file = (tag.get("hf_hub") or "").rpartition("/")
    file = file or _PICKLE
    safe = (
        [_SAFE] if file == _PICKLE else [f"{file[:-4]}.safetensors"] if file[-4:] in (".bin", ".pth") else []
    )
    return repository or None, [*safe, file]


@cache
def _timms() -> dict[str, str]:
    rows = entries.rows("backbones")
    return {rows[name]["weights"]["model"]: known.hub for name, known in facts().items() if known.hub}
