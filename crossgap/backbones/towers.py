"""What a model's configuration tells of its towers, without torch and without open_clip.

So it is known before any download which towers can't be inverted into.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from crossgap import fingerprint
from crossgap.errors import of_machine
from crossgap.libraries import folder_of

Method = Literal["oti", "ovi"]
TIMM_PREFIX = "timm:"
HUB_PREFIX = "hf-hub:"
LOCAL_DIR_PREFIX = "local-dir:"
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"  # of such a folder
ENDINGS = (".safetensors", ".bin", ".pth")  # of files there that may be its weights
# configurations of models that open_clip can build and doesn't register
OWN_CONFIGS = Path(__file__).parent / "configs"

# timm's convolutional families that CLIP models use, by the prefix of the name, and the class that timm makes of it
_CONVOLUTIONAL = {"convnext": "ConvNeXt", "fastvit": "FastVit", "resnet": "ResNet"}
_HUB = "pip install 'crossgap[hub]', with a network or a filled cache of Hugging Face"


def canonical(model: str) -> str:
    """The canonical name of a model: `ViT-B-32` for `ViT-B/32`; a path or repository stays as it is."""
    return model if ":" in model else model.replace("/", "-")


def canonical_tag(tag: str) -> str:
    """The one spelling of a tag of open_clip's: it takes `LAION2B-s34B` for `laion2b_s34b`."""
    return tag.lower().replace("-", "_")


def modalities(model: str) -> tuple[str, ...]:
    """The modalities of a model's towers: ("image", "text"), or ("image",) for timm's models."""
    return ("image",) if image_only(model) else ("image", "text")


def image_only(model: str) -> str | None:
    """Why a model takes no texts, and so can't be inverted; None if it takes texts."""
    if not model.startswith(TIMM_PREFIX):
        return None
    return f"{model!r} is an image-only backbone: it has no text tower, so there is no other modality to invert into"


def refusal(model: str, method: Method) -> str | None:
    """Why a model can't be inverted into, as its configuration and the installed libraries tell.

    Args:
        model: as `load_backbone` takes it: registered, or `local-dir:` with its `open_clip_config.json`.
        method: `oti` needs a text tower that takes pseudo-tokens, and its tokenizer; `ovi` a vision tower that
            takes pseudo-patches. Both need a model that can be loaded.

    Returns:
        The reason; None where there is none, or where only loading can tell: an `hf-hub:` model, an unknown or
        damaged configuration, a family of timm that is not in the list here. None for an image-only model too:
        it is left out of inversions, not refused.
    """
    config = configuration(model)
    if config is None:
        return None
    if reason := unloadable(model):
        return reason
    if method == "oti":
        return _without_tokenizer(model, config)
    kind = convolutional(config)
    return no_patches(kind) if kind else None


def unloadable(model: str) -> str | None:
    """Why a model can't be loaded at all with the libraries installed; None as for `refusal`.

    A text tower from Hugging Face is built by transformers after a configuration that lies on the hub. Where
    transformers is installed, only loading can tell whether that configuration is at hand.
    """
    config = configuration(model)
    tower = config and config["text_cfg"].get("hf_model_name")
    if not tower or _installed("transformers"):
        return None
    return f"the text tower of {model!r} is {tower!r}, built after a configuration from Hugging Face: {_HUB}"


def asks_hub(model: str) -> bool:
    """Whether more than weights comes from Hugging Face: a configuration, or a tokenizer."""
    if model.startswith(HUB_PREFIX):
        return True
    text = (configuration(model) or {}).get("text_cfg", {})
    own = model.startswith(LOCAL_DIR_PREFIX)  # a folder has its tokenizer in it
    return bool(text.get("hf_model_name") or (text.get("hf_tokenizer_name") and not own))


def refusals(models: Mapping[str, str], asked: Iterable[tuple[str, Method, Collection[str]]]) -> list[str]:
    """A line for every model that can't be loaded, or not be inverted into as asked.

    Args:
        models: name of a backbone → its model, as `refusal` takes it.
        asked: for every request of inversions, its field in params.yaml (`run.ovi`), the method, and the backbones.
    """
    lines, asked = [], list(asked)
    for name, model in models.items():
        if reason := unloadable(model):
            lines.append(f"run.backbones: {name!r} can't be loaded: {reason}; else take it out")
            continue
        for place, method, backbones in asked:
            if name in backbones and (reason := refusal(model, method)):
                lines.append(
                    f"{place}: not with the backbone {name!r} (model {model!r}): {reason}; "
                    f"else take {name!r} out of {place}.backbones"
                )
    return lines


def local_files(model: str, pretrained: str | None = None) -> dict[str, str]:
    """SHA-256 of the files that a model is read from, by name: of a `local-dir:` folder, or a checkpoint file.

    Empty for other models, whose weights are published under a name. Hidden files, such as a file manager leaves, are
    not read, and of files that lie deeper, or elsewhere, the tokenizer's merges alone, by the name that the
    configuration gives them.
    """
    files = {Path(pretrained).name: Path(pretrained)} if pretrained else {}
    if model.startswith(LOCAL_DIR_PREFIX):
        folder = Path(model.removeprefix(LOCAL_DIR_PREFIX))
        files = {path.name: path for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
        if named := merges((configuration(model) or {}).get("text_cfg", {})):
            files[named] = folder / named
    return {name: fingerprint.sha256_of_files([file]) for name, file in files.items() if file.is_file()}


def merges(text_config: Mapping[str, Any]) -> str | None:
    """The file of a tokenizer's merges, from the model's folder, that the configuration of a text tower names."""
    options = text_config.get("tokenizer_kwargs")
    return options.get("bpe_path") if isinstance(options, dict) else None


def architecture_files(architecture: str) -> dict[str, str]:
    """SHA-256 of the file that says what encoders of a `local-dir:` folder are, by name; of others none."""
    file = Path(architecture.removeprefix(LOCAL_DIR_PREFIX)) / CONFIG
    local = architecture.startswith(LOCAL_DIR_PREFIX) and file.is_file()
    return {CONFIG: fingerprint.sha256_of_files([file])} if local else {}


def weights_in(folder: Path) -> list[Path]:
    """The files of a `local-dir:` folder that may be its weights."""
    return [file for file in folder.iterdir() if file.suffix in ENDINGS] if folder.is_dir() else []


def no_weights(folder: Path) -> str | None:
    """Why a `local-dir:` folder can't be loaded for want of weights; None if it has some."""
    if weights_in(folder):
        return None
    remedy = "put them there"
    if others := sorted(file.name for file in folder.glob("*.pt")):
        remedy = f"name {others[0]} {Path(others[0]).stem}.pth, which open_clip looks for"
    return f"{folder} holds no weights ({', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}): {remedy}"


def no_patches(kind: str) -> str:
    """The message on a vision tower, named by its class, that takes no pseudo-patches."""
    return f"OVI needs a vision tower over patch tokens; {kind} is none"


def _without_tokenizer(model: str, config: dict[str, Any]) -> str | None:
    text = config["text_cfg"]
    if not (text.get("hf_tokenizer_name") or text.get("hf_model_name")) or _installed("transformers"):
        return None
    return f"the tokenizer of {model!r} is from Hugging Face: {_HUB}"


def convolutional(config: dict[str, Any]) -> str | None:
    """The class of a convolutional vision tower; None for a tower with patch tokens."""
    vision = config["vision_cfg"]
    trunk = vision.get("timm_model_name")
    if trunk:
        return next((kind for family, kind in _CONVOLUTIONAL.items() if trunk.startswith(family)), None)
    return "ModifiedResNet" if isinstance(vision.get("layers"), list) else None


def configuration(model: str) -> dict[str, Any] | None:
    """open_clip's configuration of a model, read from its file."""
    if model.startswith((HUB_PREFIX, TIMM_PREFIX)):
        return None
    try:
        if model.startswith(LOCAL_DIR_PREFIX):
            file = Path(model.removeprefix(LOCAL_DIR_PREFIX)) / CONFIG
            config = json.loads(file.read_text(encoding="utf-8"))["model_cfg"]
        else:
            name = f"{canonical(model)}.json"
            folders = (OWN_CONFIGS, folder_of("open_clip") / "model_configs")
            file = next(folder / name for folder in folders if (folder / name).is_file())
            config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, StopIteration) as error:
        if of_machine(error):
            raise
        return None
    towers = ("vision_cfg", "text_cfg")
    known = isinstance(config, dict) and all(isinstance(config.get(tower), dict) for tower in towers)
    return config if known else None


def _installed(library: str) -> bool:
    return find_spec(library) is not None
