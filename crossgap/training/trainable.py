"""Make a backbone trainable, with new projections if asked for, and write it as a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from torch import nn

from crossgap import links
from crossgap.backbones import Backbone
from crossgap.backbones.towers import CONFIG, LOCAL_DIR_PREFIX, WEIGHTS, canonical
from crossgap.training.trainer import TrainingError


def trainable(backbone: Backbone, width: int | None, seed: int) -> list[nn.Parameter]:
    """Let a backbone's parameters learn, except its temperature and bias, and give it projections of a new width.

    Args:
        width: d; None keeps the projections.
        seed: of the new projections, drawn as open_clip draws them: N(0, 1/width of the tower).

    Returns:
        the parameters of the new projections, none if they are kept.

    Raises:
        TrainingError: a backbone without texts, or projections that can't have that width.
    """
    _check_has_texts(backbone)
    model = backbone.model
    model.requires_grad_(True)
    for name in ("logit_scale", "logit_bias"):
        if isinstance(getattr(model, name, None), nn.Parameter):
            getattr(model, name).requires_grad_(False)
    if width is None:
        return []
    if type(model) not in (open_clip.CLIP, open_clip.CustomTextCLIP):
        raise TrainingError(
            f"width: the projections of {type(model).__name__} are used elsewhere too; set width to null to keep them"
        )
    generator = torch.Generator().manual_seed(seed)
    new: list[nn.Parameter] = []
    for modality in ("image", "text"):
        held = backbone.projection(modality)
        if held is None:
            raise TrainingError(
                f"width: the {modality} tower of {backbone.provenance['model']!r} has no projection that stands "
                "apart; set width to null to keep what it has"
            )
        owner, name = held
        old = getattr(owner, name)
        inputs = inputs_of(old)
        if width > inputs:
            raise TrainingError(
                f"width: {width} is more than the {inputs} that the {modality} tower gives: the features would "
                f"span no more; give at most {inputs}"
            )
        drawn = torch.randn(inputs, width, generator=generator) * inputs**-0.5
        if isinstance(old, nn.Linear):
            made = nn.utils.skip_init(nn.Linear, inputs, width, bias=old.bias is not None)
            with torch.no_grad():
                made.weight.copy_(drawn.T)
                if made.bias is not None:
                    made.bias.zero_()
            made.to(backbone.device)
            new += made.parameters()
        else:
            made = nn.Parameter(drawn.to(backbone.device))
            new.append(made)
        setattr(owner, name, made)
    return new


def inputs_of(projection: nn.Parameter | nn.Linear) -> int:
    """The input width of a projection."""
    return projection.in_features if isinstance(projection, nn.Linear) else len(projection)


def writer(backbone: Backbone, width: int | None) -> Callable[[Path], None]:
    """A function that writes the backbone as a folder, which open_clip loads as `local-dir:`.

    Its configuration is looked up now, so that an error comes before the training and not after it.

    Raises:
        TrainingError: a backbone without texts, or one that open_clip knows no configuration of.
    """
    _check_has_texts(backbone)
    name = backbone.provenance["model"]
    config = open_clip.get_model_config(canonical(name))
    if config is None:
        raise TrainingError(
            f"backbone: open_clip has no configuration of {name!r} to write a checkpoint with"
        )
    config = {**config, **({} if width is None else {"embed_dim": width})}
    document = {"model_cfg": config, "preprocess_cfg": backbone.provenance["preprocessing"]}
    beside = _beside(name)

    def write(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for file in beside:
            # before its place is freed, which may be its own
            content = file.read_bytes()
            links.freed(folder / file.name).write_bytes(content)
        links.write(folder / CONFIG, json.dumps(document, indent=2) + "\n")
        state = {key: value.detach().cpu().contiguous() for key, value in backbone.model.state_dict().items()}
        save_file(state, links.freed(folder / WEIGHTS))

    return write


def _check_has_texts(backbone: Backbone) -> None:
    if "text" not in backbone.modalities:
        raise TrainingError(
            f"backbone: {backbone.provenance['model']!r} has no text tower; take one that has both"
        )


def _beside(name: str) -> list[Path]:
    """The other files of a local folder: its tokenizer's."""
    if not name.startswith(LOCAL_DIR_PREFIX):
        return []
    files = sorted(path for path in Path(name.removeprefix(LOCAL_DIR_PREFIX)).iterdir() if path.is_file())
    weights = (".safetensors", ".bin", ".pt", ".pth")
    return [path for path in files if path.suffix not in weights and path.name != CONFIG]
