"""What the rest of crossgap sees of a model: two encoders, a tokenizer, a transform and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from open_clip.hf_model import HFTextEncoder
from torch import Tensor, nn

from crossgap import fingerprint
from crossgap.backbones import towers
from crossgap.backbones.settings import own_settings
from crossgap.errors import BackboneError
from crossgap.machine import rounding_of_float32

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Integer, Real

MODALITIES = ("image", "text")


def resolve_device(device: str | torch.device) -> torch.device:
    """`auto` is a CUDA device where there is one, else the CPU.

    Raises:
        BackboneError: a device of another name, or that torch doesn't find here; a CPU on which oneDNN is asked to
            round float32.
    """
    device = str(device)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or not (number.isdecimal() or device == kind):
        raise BackboneError(f"device {device!r} is none of auto, cpu, cuda, cuda:N, mps")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[kind]
    if not there or (kind == "cuda" and int(number or 0) >= torch.cuda.device_count()):
        raise BackboneError(f"device {device!r}: torch finds no such GPU here: give auto or cpu")
    if kind == "cpu" and (reason := rounding_of_float32()):
        raise BackboneError(f"device {device!r}: {reason}")
    return torch.device(device)


def verified(weights: Path, sha256: str | None, called: str) -> str:
    """The SHA-256 of a file; BackboneError if another one is declared."""
    found = fingerprint.sha256_of_files([weights])
    if sha256 and found != sha256:
        raise BackboneError(
            f"{called}: {weights} has SHA-256 {found}, not {sha256}: not the weights declared"
        )
    return found


def require_unchanged(held: Mapping[str, str | None], before: Mapping[str, str], called: str) -> None:
    """BackboneError where files, by their SHA-256, are others than before they were read."""
    if held != before:
        raise BackboneError(
            f"{called}: its files changed while they were read, as where a training still writes them: begin again "
            "once they are whole"
        )


def check_finite(module: nn.Module, weights: Path | None, called: str) -> None:
    """BackboneError if a weight is NaN or infinite, since most features then are too."""
    broken = [name for name, held in module.named_parameters() if not bool(held.isfinite().all())]
    if broken:
        raise BackboneError(
            f"{called}: {weights} has values that are NaN or infinite in {len(broken)} of its tensors "
            f"({', '.join(broken[:3])}{', …' if len(broken) > 3 else ''}): the training diverged, the file is damaged, "
            "or the precision is too narrow for it; take a checkpoint from before, get it again, or use fp32"
        )


class Tokenizer(Protocol):
    """List of texts → `(n, context)` ids, open_clip's own; what is too long is cut."""

    context_length: int

    def __call__(self, texts: list[str], context_length: int | None = None) -> Integer[Tensor, "n context"]:
        """The ids of these texts."""
        ...


@dataclass(frozen=True)
class Encoded:
    """Features of a batch.

    Attributes:
        features: `(n, d)` float32, the tower's output, not normalised.
        preprojection: `(n, width)` float32, what the tower's projection is applied to; None where the tower has no
            projection that can be told apart (an attention-pool head of a ResNet, for one).
    """

    features: Float32[Tensor, "n d"]
    preprojection: Float32[Tensor, "n width"] | None


@dataclass(frozen=True)
class Backbone:
    """A model in evaluation mode, its parameters frozen.

    Attributes:
        model: an `nn.Module`. Its library names the parts, and ships no types.
        transform: PIL image → `(3, h, w)` float tensor, the model library's own for inference.
        load_tokenizer: gives the tokenizer; None of a model that reads no texts.
        device: where the model lies.
        provenance: JSON-able: model, pretrained, weights' SHA-256, precision, preprocessing, library versions.
    """

    model: Any
    transform: Callable[[Any], Tensor]
    load_tokenizer: Callable[[], Tokenizer] | None
    device: torch.device
    provenance: dict[str, Any]

    @property
    def modalities(self) -> tuple[str, ...]:
        """("image", "text"), or ("image",) of a model without a text tower."""
        return towers.modalities(self.provenance["model"])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """List of texts → `(n, context)` ids, open_clip's own; loaded when first asked for."""
        self.check_has_texts()
        if self.load_tokenizer is None:
            raise BackboneError(f"{self.provenance['model']} was made without a tokenizer")
        return self.load_tokenizer()

    def to(self, device: str) -> Backbone:
        """The same backbone on another device; its module moves there."""
        place = resolve_device(device)
        return replace(self, model=self.model.to(place), device=place)

    @property
    def dtype(self) -> torch.dtype:
        """What images and pseudo-tokens are cast to before the model sees them."""
        layers = (m for m in self.model.visual.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
        return next(layers).weight.dtype  # in half precision open_clip keeps embeddings and norms in float32

    @property
    def context_length(self) -> int:
        """Token positions of the text tower; for one from Hugging Face, those that its tokenizer fills."""
        self.check_has_texts()
        text = getattr(self.model, "text", None)
        return self.tokenizer.context_length if isinstance(text, HFTextEncoder) else self.model.context_length

    @cached_property
    def dim(self) -> int:
        """Width of the features."""
        if "text" not in self.modalities:
            size = self.provenance["preprocessing"]["input_size"]
            return self.encode_images(torch.zeros(1, *size)).features.shape[1]
        return self.encode_texts(torch.zeros(1, self.context_length, dtype=torch.long)).features.shape[1]

    def encode_images(self, pixels: Real[Tensor, "n 3 h w"]) -> Encoded:
        """Encode `(n, 3, h, w)` transformed images."""
        with own_settings(), torch.inference_mode():
            return self.forward_images(pixels)

    def forward_images(self, pixels: Real[Tensor, "n 3 h w"]) -> Encoded:
        """`encode_images` for a training: with its gradients, and under its autocast."""
        encode = partial(self.model.encode_image, normalize=False)
        # cast where it lies in the end: a cast here would undo the pinning of its memory, and cost the cores
        pixels = pixels.to(self.device, non_blocking=True).to(self.dtype)
        return self._encode(encode, self.projection("image"), pixels)

    def encode_texts(self, ids: Integer[Tensor, "n context"]) -> Encoded:
        """Encode `(n, context)` token ids."""
        self.check_has_texts()
        encode = partial(self.model.encode_text, normalize=False)
        with own_settings(), torch.inference_mode():
            return self._encode(encode, self.projection("text"), ids.to(self.device))

    def check_has_texts(self) -> None:
        """BackboneError if the model has no text tower: it can neither encode texts nor be inverted."""
        if reason := towers.image_only(self.provenance["model"]):
            raise BackboneError(reason)

    def projections(self) -> dict[str, Float32[np.ndarray, "d width"]]:
        """By modality, W `(d, width)` float32: features are preprojection @ W.T, plus the tower's bias if it has one.

        A tower whose projection can't be told apart is left out.
        """
        held = {modality: self.projection(modality) for modality in MODALITIES}
        return {modality: _weight(getattr(*found)) for modality, found in held.items() if found}

    def biases(self) -> dict[str, Float32[np.ndarray, " d"]]:
        """By modality, `(d,)` float32 of those projections that have a bias."""
        held = {modality: self.projection(modality) for modality in MODALITIES}
        biases = {
            modality: getattr(getattr(*found), "bias", None) for modality, found in held.items() if found
        }
        return {modality: _array(bias) for modality, bias in biases.items() if bias is not None}

    def tokenize(self, texts: Sequence[str]) -> tuple[Integer[Tensor, "n context"], Bool[Tensor, " n"]]:
        """Token ids `(n, context)`, and which texts the context was too short for `(n,)`.

        BackboneError for a tokenizer that can't be had, or one of other tokens than the model's.

        The tokenizer truncates; a text was cut exactly if one more position brings anything but padding. That position
        alone would not do: a tokenizer may pad with its end token (SigLIP's does), or close every text with a token of
        its own behind the padding (that of CLIPS does), as the empty text shows.
        """
        if isinstance(texts, str):
            raise TypeError(f"texts is {texts!r}: give a list of texts")
        context = self.context_length
        ids = self.tokenizer(list(texts), context_length=context)
        longer = self.tokenizer([*texts, ""], context_length=context + 1)
        self._check_known(longer)
        empty = longer[-1]
        end = 0 if _pads_left(self.tokenizer) else context - int(empty[-1] != empty[-2])
        padding = torch.full_like(ids[:, :1], int(empty[end]))
        padded = torch.cat([ids[:, :end], padding, ids[:, end:]], dim=1)
        return ids, (longer[:-1] != padded).any(dim=1)

    def _check_known(self, ids: Integer[Tensor, "n context"]) -> None:
        """BackboneError if the model has no embedding for one of these tokens: the tokenizer is another model's."""
        known = getattr(getattr(self.model, "text", self.model), "vocab_size", None)
        if known and (ids >= known).any():
            raise BackboneError(
                f"the tokenizer of {self.provenance['model']!r} gives the token {int(ids.max())}, and the model has "
                f"{known} of them, from 0: take the tokenizer that it was trained with"
            )

    def _encode(self, encode: Callable, projection: tuple[nn.Module, str] | None, batch: Tensor) -> Encoded:
        if projection is None:
            return Encoded(encode(batch).float(), None)
        with without_projection(*projection) as project:
            before = encode(batch)
        return Encoded(project(before).float(), before.float())

    def projection(self, modality: str) -> tuple[nn.Module, str] | None:
        """The module and attribute of a tower's last linear map, if it has one that stands apart."""
        if "text" not in self.modalities:
            return None
        if modality == "image":
            visual = self.model.visual
            trunk = getattr(visual, "trunk", None)
            owners: list[tuple[Any, str]] = [
                (visual, "proj"),
                (getattr(visual, "head", None), "proj"),
                (trunk, "head"),
            ]
        else:
            owner = getattr(self.model, "text", self.model)
            owners = [(owner, "text_projection"), (owner, "proj")]
        for owner, name in owners:
            if isinstance(getattr(owner, name, None), (nn.Parameter, nn.Linear)):
                return owner, name
        return None


def _pads_left(tokenizer: Tokenizer) -> bool:
    """Whether padding stands in front of the words, as a tokenizer of transformers may have it."""
    inner = getattr(tokenizer, "tokenizer", None)
    # in a mode of its own open_clip pads by itself
    return getattr(inner, "padding_side", "right") == "left" and not getattr(tokenizer, "tokenizer_mode", "")


def require_backbone(backbone: object) -> None:
    """TypeError unless it is a `Backbone`, and no name, model of open_clip or module of torch."""
    if not isinstance(backbone, Backbone):
        given = repr(backbone) if isinstance(backbone, str) else f"a {type(backbone).__name__}"
        raise TypeError(f"backbone is {given}: give one of crossgap.load_backbone")


@contextmanager
def without_projection(owner: nn.Module, name: str) -> Iterator[Callable[[Tensor], Tensor]]:
    """Take the projection out while the block runs; gives the map that was taken out.

    A layer stays in its place and hands on its input, since callers may look at its type.
    """
    projection = getattr(owner, name)
    if isinstance(projection, nn.Linear):
        handle = projection.register_forward_hook(lambda _module, inputs, _output: inputs[0])
        try:
            yield projection
        finally:
            handle.remove()
        return
    setattr(owner, name, None)
    try:
        yield lambda x: x @ projection
    finally:
        setattr(owner, name, projection)


def _weight(projection: nn.Parameter | nn.Linear) -> Float32[np.ndarray, "d width"]:
    # a parameter is applied as x @ W, a layer as x @ W.T
    return _array(projection.weight if isinstance(projection, nn.Linear) else projection.T)


def _array(values: Real[Tensor, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    return values.detach().float().cpu().contiguous().numpy()
