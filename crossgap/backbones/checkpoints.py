"""Checkpoint files, as trainings and releases write them → tensors by the names of the model's weights.

Nothing in a file is run: a stand-in takes the place of every object that is neither a tensor nor a plain container.
"""

from __future__ import annotations

import builtins
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from safetensors.torch import load_file
from torch import Tensor

from crossgap import claims
from crossgap.backbones import openai
from crossgap.errors import BackboneError, WeightsError, is_told, listed, of_machine, opened

# keys of the weights in a training's checkpoint; of trained and averaged ones, `read` takes those named first
TRAINED = ("state_dict", "model_state_dict", "model", "module")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
# of weights named as in big_vision or timm's sources, which the libraries themselves read
NUMPY = (".npz", ".npy")
COMPILED = "_orig_mod."  # what torch.compile puts before the names of what it compiled
POSITION_IDS = "text.transformer.embeddings.position_ids"  # a buffer that transformers had once
LONGEST = 300  # characters of a list of names in a message
DEEPEST = 4  # parts of a prefix that wrappers put before the names


class _Unread:
    """The stand-in for an object that isn't a tensor: it takes any arguments and does nothing."""

    def __new__(cls, *_arguments: object) -> _Unread:
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None: ...


@contextmanager
def by_library() -> Iterator[None]:
    """A context for a library's work on files or configurations: such a library may raise any error on bad ones.

    Raises:
        WeightsError: what the library said; crossgap's own errors and the machine's come out as they are.
    """
    try:
        yield
    except Exception as error:
        if is_told(error):
            raise
        raise WeightsError(str(error) or type(error).__name__) from error


@contextmanager
def loading(called: str) -> Iterator[None]:
    """A context for the loading of a model of this name.

    Raises:
        BackboneError: a WeightsError, with the model's name before it.
    """
    try:
        yield
    except WeightsError as error:
        raise BackboneError(f"{called} can't be loaded: {error}") from error


def read(weights: Path, wrappers: Iterable[str] = (*TRAINED, *AVERAGED)) -> dict[str, Tensor]:
    """Every tensor of the state dict in a file, by its name there.

    Args:
        weights: a .safetensors file, a TorchScript archive, or what `torch.save` wrote; told by the content.
        wrappers: keys that a state dict may lie under, the first that is there is taken. Where a training's weights
            and their average both are, a warning says which.

    Raises:
        WeightsError: the file is something else, cut short, holds no state dict, or has code in it.
    """
    check_is_one(weights)
    try:
        if _is_safetensors(weights):
            with opened(weights):
                return _uncompiled(load_file(weights))
        if openai.is_archive(weights):
            return openai.tensors(weights)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{weights}: {error}; nothing of it was run") from error
    except Exception as error:
        if of_machine(error):
            raise
        raise WeightsError(f"{weights} is damaged or cut short ({error}): get it again") from error
    return _uncompiled(_state_dict(_loaded(weights), weights, tuple(wrappers)))


def is_of_openai(held: Mapping[str, Tensor], weights: Path) -> bool:
    """Whether weights are OpenAI's: they carry the archive's number, or come from an archive that doesn't call GELU."""
    numbered = any(name.rpartition(".")[2] == "input_resolution" for name in held)
    return numbered or (openai.is_archive(weights) and not openai.calls_gelu(weights))


def named_as(module: torch.nn.Module, held: Mapping[str, Tensor], weights: Path) -> dict[str, Tensor]:
    """A module's weights in a file, without the prefix that wrappers put before their names.

    The prefix, such as Lightning's `model.` and DataParallel's `module.`, is the one under which most names and shapes
    fit the module. Weights under another prefix are not the module's.

    Raises:
        WeightsError: the module's weights are there twice, for example as teacher and student.
    """
    held = {name: tensor for name, tensor in held.items() if name.rpartition(".")[2] not in openai.NUMBERS}
    ours = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    wanted = {**{name.removeprefix("text."): shape for name, shape in ours.items()}, **ours}
    matches = {"": 0}
    for name, tensor in held.items():
        parts = name.split(".")
        for depth in range(min(DEEPEST, len(parts) - 1) + 1):
            prefix = "".join(f"{part}." for part in parts[:depth])
            matches[prefix] = matches.get(prefix, 0) + (
                wanted.get(name.removeprefix(prefix)) == tuple(tensor.shape)
            )
    most = max(matches.values())
    best = sorted((prefix for prefix, count in matches.items() if count == most), key=lambda p: (len(p), p))
    if len(best) > 1 and most > len(ours) / 2:
        raise WeightsError(
            f"{weights} holds the model {len(best)} times, under {', '.join(map(repr, best))}: "
            "save the one that counts as a state dict of its own"
        )
    prefix = best[0] if most else "module." if all(name.startswith("module.") for name in held) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in held.items() if name.startswith(prefix)}


def fill(module: torch.nn.Module, state: dict[str, Tensor], weights: Path, *, resize: bool) -> None:
    """Load weights, every one and no other, as open_clip's `load_checkpoint` does with a file.

    Args:
        module: a model of open_clip's.
        state: by the module's names, or by those that open_clip converts.
        weights: the file that they are from, for messages.
        resize: whether positions are resized to the module's, as some tags need; otherwise another size is an error.

    Raises:
        WeightsError: other names or shapes, positions for another image size or context.
    """
    with by_library():
        state = convert_state_dict(module, state)
        if "positional_embedding" in state and not hasattr(module, "positional_embedding"):
            state = convert_to_custom_text_state_dict(state)
    # no feature depends on the scale and the bias of the logits
    for name in ("logit_scale", "logit_bias"):
        ours = getattr(module, name, None)
        if ours is None:
            state.pop(name, None)
        elif name in state and state[name].numel() == 1:
            state[name] = state[name].reshape(ours.shape)
        elif name == "logit_bias":
            state[name] = torch.zeros_like(ours)
    if POSITION_IDS not in module.state_dict():
        state.pop(POSITION_IDS, None)
    if resize:
        with by_library():
            resize_pos_embed(state, module)
            resize_text_pos_embed(state, module)
    for name, ours in module.named_parameters():
        theirs = state.get(name, ours)
        if name.rpartition(".")[2] in ("positional_embedding", "pos_embed") and theirs.shape != ours.shape:
            raise WeightsError(
                f"{weights} has {name} {tuple(theirs.shape)}, the model {tuple(ours.shape)}: they are "
                "weights for another image size or context length; name the model they belong to"
            )
    load_strictly(module, state, weights)


def load_strictly(module: torch.nn.Module, state: Mapping[str, Tensor], weights: Path) -> None:
    """Every weight of a module from a state dict that has no other.

    Raises:
        WeightsError: weights are missing, unknown or of another shape, the message lists a few of each; LoRA's
            matrices are not merged; weights are integers, which torch would take as they are.
    """
    if any(name.startswith("vision_model.") for name in state):
        raise WeightsError(
            f"{weights} has the names that transformers gives a model's weights, not open_clip's: take the files "
            "of the same model for open_clip, or convert them"
        )
    if adapters := [name for name in state if "lora_" in name]:
        raise WeightsError(
            f"{weights} has matrices of LoRA beside the weights that they change ({listed(adapters, 1)}): merge them "
            "(in peft: merge_and_unload), and save the model's own state dict"
        )
    for name, ours in module.state_dict().items():
        if name in state and ours.is_floating_point() and not state[name].is_floating_point():
            raise WeightsError(
                f"{weights} has {name} in {str(state[name].dtype).removeprefix('torch.')}: quantised weights are "
                "nothing without what they are scaled by; save the model in floating point"
            )
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        said = "; ".join(line if len(line) <= LONGEST else f"{line[:LONGEST]} …" for line in lines[:6])
        raise WeightsError(
            f"{weights} has weights of another model: {said}{' …' if len(lines) > 6 else ''}"
        ) from error


def _uncompiled(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace(COMPILED, ""): tensor for name, tensor in held.items()}


def check_is_one(weights: Path) -> None:
    """WeightsError if a file is what a failed download or checkout leaves in place of the weights."""
    size = weights.stat().st_size
    with weights.open("rb") as file:
        start = file.read(512)
    if not size:
        raise WeightsError(f"{weights} is empty (0 bytes): get it again")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{weights} is a pointer of git-lfs, not the weights: run git lfs pull where it lies"
        )
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:5].lower() in (b"<!doc", b"<html", b"<?xml", b"<head"):
        raise WeightsError(
            f"{weights} is a web page, not weights: what answered the download was an error or a sign-in; get it again"
        )
    if weights.suffix in NUMPY and not start.startswith((b"PK\x03\x04", b"\x93NUMPY")):
        raise WeightsError(f"{weights} is not what numpy writes: get it again")
    if start.startswith(b"PK\x03\x04") and not zipfile.is_zipfile(weights):
        raise WeightsError(f"{weights} is cut short after {size} bytes: get it again")


def _is_safetensors(weights: Path) -> bool:
    """Whether a file is safetensors by its content: the length of a header, and a header in JSON."""
    with weights.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < 1 << 40


def _loaded(weights: Path) -> Any:
    """The content of a file that torch.save wrote, with stand-ins for other objects than tensors and containers."""
    zipped = zipfile.is_zipfile(weights)
    if zipped:
        with zipfile.ZipFile(weights) as archive:
            for entry in archive.infolist():
                claims.check(f"{weights}: {entry.filename}", entry.file_size, entry.compress_size)
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(weights) if zipped else []
        if functions := sorted(name for name in names if _is_function(name)):
            raise WeightsError(f"{weights} has code in it ({', '.join(functions)}), which is not run")
        with torch.serialization.safe_globals([(_Unread, name) for name in names]):
            return torch.load(weights, map_location="cpu", weights_only=True, mmap=zipped)
    except WeightsError:
        raise
    except Exception as error:  # its text advises to load the file without any care
        if of_machine(error):
            raise
        raise WeightsError(
            f"{weights} is no checkpoint that can be read without running what is in it: it is damaged, or holds "
            "other than tensors and plain containers; get it again, or save its state dict alone, as .safetensors"
        ) from error


def _is_function(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    return module in ("builtins", "__builtin__") and not isinstance(getattr(builtins, attribute, None), type)


def _state_dict(held: Any, weights: Path, wrappers: tuple[str, ...]) -> dict[str, Tensor]:
    if isinstance(held, _Unread):
        raise WeightsError(
            f"{weights} is a whole module or another object, whose code is not run: save its state_dict() instead"
        )
    while (key := _under(held, wrappers)) is not None:
        others = TRAINED if key in AVERAGED else AVERAGED if key in TRAINED else ()
        if beside := [name for name in others if isinstance(held.get(name), Mapping)]:
            warnings.warn(
                f"{weights} holds trained weights and their average: {key} is taken, not {beside[0]}; save the one "
                "that counts as a file of its own",
                stacklevel=2,
            )
        held = held[key]
    tensors = {}
    if isinstance(held, Mapping):
        tensors = {name: tensor for name, tensor in held.items() if isinstance(tensor, Tensor)}
    if not tensors:
        holds = ", ".join(map(str, list(held)[:6])) if isinstance(held, Mapping) else type(held).__name__
        raise WeightsError(
            f"{weights} has no `state_dict` of tensors, nor one under any of {', '.join(wrappers)}; "
            f"what it holds: {holds or 'nothing'}"
        )
    return tensors


def _under(held: Any, wrappers: tuple[str, ...]) -> str | None:
    """The key of the state dict: a known one, else the only one with tensors; None if it is the whole file."""
    if not isinstance(held, Mapping):
        return None
    if key := next((key for key in wrappers if isinstance(held.get(key), Mapping)), None):
        return key
    if _has_tensors(held):
        return None
    inner = [key for key, value in held.items() if isinstance(value, Mapping) and _has_tensors(value)]
    return inner[0] if len(inner) == 1 else None


def _has_tensors(held: Mapping) -> bool:
    return any(isinstance(value, Tensor) for value in held.values())
