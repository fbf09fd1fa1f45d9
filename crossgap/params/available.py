"""Which models, files, imports and devices a run needs and lacks, as far as it shows without loading a model."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from crossgap.backbones import towers
from crossgap.catalogue import registered
from crossgap.errors import like
from crossgap.keyed import file_and_key
from crossgap.machine import rounding_of_float32
from crossgap.params.reading import refused

if TYPE_CHECKING:
    from crossgap.params import Params
    from crossgap.params.sections import Weights


def require(params: Params, path: str | Path = "params.yaml", *, data: bool = False) -> None:
    """Check that a run has what it needs, with `data` the datasets' files too.

    Raises:
        ParamsError: naming the file and, a line each, what can't be had, and the remedy.
    """
    if lines := [*unavailable(params), *(no_data(params) if data else ())]:
        raise refused(path, lines)


def unavailable(params: Params) -> Iterator[str]:
    """A line for each backbone of `run` whose model, tag or file doesn't exist, and the like of imports and devices.

    Paths are seen from the working directory. What a training makes is not looked for, but what it starts from.
    """
    names = dict.fromkeys(name for name in params.run.backbones if name not in params.trained)
    names |= dict.fromkeys(training.backbone for training in params.finetune.values())
    for name in names:
        if reason := _missing(params.backbones[name].weights):
            yield f"backbones.{name}.weights.{reason}"
    for name, experiment in params.idealised.items():
        if reason := _no_model(experiment.architecture):
            yield f"idealised.{name}.architecture: {reason}"
    for name in params.run.imports:
        store = Path("data/imports", name, "native.zarr.zip")
        if not store.is_file():
            yield f"run.imports: there is no {store}: {_how_to_import(name)}"
    for name, row in params.evaluate.fit_on.files.items():
        for modality, given in row.files.items():
            if not file_and_key(given)[0].is_file():
                yield f"evaluate.fit_on.files.{name}.{modality}: there is no file {given}: {_remedy(given)}"
    if params.machine.engine == "local" and (reason := no_device(params.machine.device)):
        yield f"machine.device: {reason}"
    if params.evaluate.plane == "umap" and find_spec("umap") is None:
        yield "evaluate.plane: 'umap' needs umap-learn, which isn't there: pip install 'crossgap[umap]', or give pca"
    if params.machine.engine == "ray" and find_spec("ray") is None:
        yield "machine.engine: 'ray' needs Ray, which isn't installed: pip install 'crossgap[ray]', or give local"


def no_data(params: Params) -> Iterator[str]:
    """A line for each file or folder that a dataset of `run` names and isn't there.

    Not of `unavailable`: who has pulled what was made of the images can do without them. Of the folder of a
    set of Hugging Face's, which the hub may have, nothing is said.
    """
    for name in params.run.datasets:
        declared = params.datasets[name]
        for field, path in declared.paths.items():
            on_hub = declared.layout == "huggingface" and field == "root"
            if not path.exists() and not on_hub:
                yield f"datasets.{name}.{field}: there is no {path}: {_remedy(path)}"


def no_device(device: str) -> str | None:
    """Why a device can't be used here; None if it can. Torch is imported only where it must be asked."""
    kind, _, number = device.partition(":")
    rounding = rounding_of_float32() if kind in ("auto", "cpu") else None
    if kind == "cpu" or (kind == "auto" and rounding is None):
        return rounding
    import torch

    if kind == "auto":
        return None if torch.cuda.is_available() else rounding
    if kind == "mps":
        there = torch.backends.mps.is_available()
        return (
            None
            if there
            else f"torch finds no GPU of Apple's here, which {device!r} asks for: give auto or cpu"
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        return f"torch finds no GPU here, which {device!r} asks for: give auto or cpu"
    if int(number or 0) >= count:
        return f"{device!r} is none of the {count} GPUs here: give cuda:0" + (
            f" to cuda:{count - 1}" if count > 1 else ""
        )
    return None


def _how_to_import(name: str) -> str:
    pointer = Path("data/imports", f"{name}.dvc")
    if pointer.is_file():
        return f"`dvc pull {pointer}` brings it from where the team keeps it"
    return (
        f"`crossgap import {name} …` makes it; who has it shares it by `dvc push` and a commit with {pointer}"
    )


def _missing(weights: Weights) -> str | None:
    """The field of a row that names what doesn't exist, and the remedy."""
    model, pretrained = weights.model, weights.pretrained
    if model.startswith(towers.HUB_PREFIX):
        return None
    if model.startswith(towers.TIMM_PREFIX):
        return _no_model_of_timm(model) or (_no_file(pretrained) if pretrained else None)
    if reason := _no_model(model) or _no_weights(model):
        return f"model: {reason}"
    known = registered.tags()
    if pretrained is None or not known:
        return None
    if (tag := registered.tag(model, pretrained)) is not None:
        return _other_activation(model, pretrained, bool(tag.get("quick_gelu"))) or _undecided(
            weights, pretrained
        )
    if "/" in pretrained or Path(pretrained).suffix or Path(pretrained).is_file():
        return _no_file(pretrained) or _undecided(weights, pretrained)
    those = list(known.get(towers.canonical(model), ()))
    return (
        f"pretrained: {pretrained!r} is neither a file nor a tag of {model}{_close(pretrained, those)} "
        f"(its tags: {', '.join(those) or 'none'})"
    )


def _other_activation(model: str, tag: str, wanted: bool) -> str | None:
    config = towers.configuration(model)
    if config is None or bool(config.get("quick_gelu")) == wanted:
        return None
    plain = towers.canonical(model).removesuffix(registered.QUICK)
    return (
        f"model: the weights {tag!r} were trained with {'QuickGELU' if wanted else 'GELU'}, and {model!r} computes "
        f"{'GELU' if wanted else 'QuickGELU'}: name {plain + registered.QUICK if wanted else plain}"
    )


def _undecided(weights: Weights, pretrained: str) -> str | None:
    """What isn't said of a checkpoint file; only where there may be something is open_clip asked, and torch with it."""
    if weights.preprocess is None and registered.tag(weights.model, pretrained) is not None:
        return None
    from crossgap.backbones import BackboneError, declaring

    try:
        declaring.declared(weights.model, pretrained, weights.preprocess)
    except BackboneError as error:
        return f"preprocess: {error}"
    return None


def _no_model(model: str) -> str | None:
    if model.startswith(towers.LOCAL_DIR_PREFIX):
        folder = Path(model.removeprefix(towers.LOCAL_DIR_PREFIX))
        if not (folder / towers.CONFIG).is_file():
            return f"{folder} holds no {towers.CONFIG}: put the model there, or name another folder"
        return None
    if towers.canonical(model) in registered.models():
        return None
    return (
        f"{model!r} is none of open_clip's {len(registered.models())} models"
        f"{_close(model.replace('/', '-'), registered.models())}; others are {towers.LOCAL_DIR_PREFIX}FOLDER "
        f"with an {towers.CONFIG}, hf-hub: and timm:"
    )


def _no_weights(model: str) -> str | None:
    folder = Path(model.removeprefix(towers.LOCAL_DIR_PREFIX))
    return towers.no_weights(folder) if model.startswith(towers.LOCAL_DIR_PREFIX) else None


def _no_model_of_timm(model: str) -> str | None:
    name, _, tag = model.removeprefix(towers.TIMM_PREFIX).partition(".")
    known = registered.of_timm()
    if name not in known:
        return f"model: timm has no model {name!r}{_close(name, list(known))}"
    if tag and known[name] and tag not in known[name]:
        those = sorted(known[name])
        return (
            f"model: timm has no weights {tag!r} of {name}{_close(tag, those)} (there are {', '.join(those)})"
        )
    return None


def _no_file(path: str) -> str | None:
    if Path(path).is_file():
        return None
    return f"pretrained: there is no file {path}: {_remedy(path)}"


def _remedy(path: str | Path) -> str:
    if str(path).startswith("~"):
        return f"~ is a shell's: write {Path(path).expanduser()}"
    return "put it there, or name where it is"


def _close(name: str, names: list[str]) -> str:
    return like(name, names, 3, 0.8)
