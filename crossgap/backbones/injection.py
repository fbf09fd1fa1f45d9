"""Where pseudo-tokens and pseudo-patches enter a tower.

One mechanism for every tower: a forward hook replaces what the embedding layer put out, and the model's own
forward pass does the rest. Beside it, for open_clip's own transformers, a fast path computes the same features
from the positions that matter alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from open_clip.transformer import TextTransformer, VisionTransformer
from torch import Tensor, nn

from crossgap.arrays import whole_number
from crossgap.backbones import blocks
from crossgap.backbones.backbone import Backbone
from crossgap.backbones.settings import own_settings
from crossgap.backbones.towers import no_patches
from crossgap.errors import BackboneError

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, Integer


class PseudoText:
    """Encode a template with pseudo-tokens in place of its `{}` (Cross the Gap, section 4.1).

    The feature of a causal text tower is read at the EOT token, so the positions after it are left out and those
    before the pseudo-tokens are computed once.

    Args:
        template: holds one `{}`.
        tokens: R, pseudo-tokens an item.

    Attributes:
        shape: `(R, width)` of one item's pseudo-tokens.

    Raises:
        BackboneError: a text tower without an embedding layer, or a template that doesn't fit the context.
    """

    @own_settings()
    def __init__(self, backbone: Backbone, template: str, tokens: int) -> None:
        backbone.check_has_texts()
        self.model = backbone.model
        self.text = getattr(self.model, "text", self.model)
        self.embedding = _token_embedding(self.text)
        self.shape = (tokens, self.embedding.weight.shape[1])
        self.ids, self.slots = _slots(backbone, template, tokens)
        self.fast = _is_causal(self.model, self.text)
        if self.fast:
            self._prepare_fast()

    def __call__(self, pseudo: Float[Tensor, "n R width"]) -> Float[Tensor, "n d"]:
        """`(n, R, width)` pseudo-tokens → `(n, d)` text features, not normalised."""
        return self._fast(pseudo) if self.fast else self._hooked(pseudo)

    def _hooked(self, pseudo: Float[Tensor, "n R width"]) -> Float[Tensor, "n d"]:
        def inject(_module: nn.Module, _inputs: tuple, embedded: Tensor) -> Tensor:
            embedded = embedded.clone()
            embedded[:, self.slots] = pseudo.to(embedded.dtype)
            return embedded

        handle = self.embedding.register_forward_hook(inject)
        try:
            return self.model.encode_text(self.ids.expand(len(pseudo), -1), normalize=False)
        finally:
            handle.remove()

    @torch.no_grad()
    def _prepare_fast(self) -> None:
        text, end = self.text, int(self._eot()) + 1
        first = int(self.slots[0])
        positions = text.positional_embedding[:end].to(text.transformer.get_cast_dtype())
        embedded = self.embedding(self.ids[:, :end]).to(positions.dtype)
        self.stack = blocks.Stack(text.transformer.resblocks)
        self.prefix = self.stack.prefix_of((embedded + positions)[:, :first])
        self.after, self.positions = embedded[:, first:], positions[first:]

    def _fast(self, pseudo: Float[Tensor, "n R width"]) -> Float[Tensor, "n d"]:
        x = self.after.repeat(len(pseudo), 1, 1)
        x[:, self.slots - self.slots[0]] = pseudo.to(x.dtype)
        x = self.stack.read(x + self.positions, x.shape[1] - 1, self.prefix, causal=True)
        return _project(self.text.ln_final(x), self.text.text_projection)

    def _eot(self) -> Integer[Tensor, ""]:
        if _pool_type(self.model, self.text) == "argmax":
            return self.ids[0].argmax()
        eos = getattr(self.model, "text_eos_id", None) or self.text.eos_id
        return torch.eq(self.ids[0], eos).int().argmax()


class PseudoPatches:
    """Encode an image of pseudo-patches, upsampled to the patch grid (Cross the Gap, section 4.2).

    Patch `k` of P fills the k-th of P equal runs of the grid in raster order, which is what nearest-neighbour
    upsampling along the token sequence does in the paper's code.

    Args:
        patches: P, pseudo-patches an item.

    Attributes:
        shape: `(P, width)` of one item's pseudo-patches.

    Raises:
        BackboneError: a vision tower without patch tokens (ResNet, ConvNeXt, …), or P larger than its grid.
    """

    @own_settings()
    def __init__(self, backbone: Backbone, patches: int) -> None:
        backbone.check_has_texts()
        self.model, self.visual = backbone.model, backbone.model.visual
        self.embedding = _patch_embedding(self.visual)
        size = self.visual.image_size
        size = size if isinstance(size, tuple) else (size, size)
        self.blank = torch.zeros(1, 3, *size, device=backbone.device, dtype=backbone.dtype)
        with torch.no_grad():
            native = self.embedding(self.blank)
        if not isinstance(native, Tensor):
            raise BackboneError(no_patches(type(self.visual.trunk).__name__))
        self.channels_first = native.ndim == 4 and isinstance(self.embedding, nn.Conv2d)
        width = native.shape[1 if self.channels_first else -1]
        self.grid = native.shape[2:] if self.channels_first else native.shape[1:-1]
        self.dtype = native.dtype
        positions = self.grid.numel()
        whole_number(patches, "patches", 1)
        if patches > positions:
            raise BackboneError(f"{patches} pseudo-patches don't fit a grid of {positions} patches")
        self.shape = (patches, width)
        self.source = torch.arange(positions, device=backbone.device) * patches // positions
        self.fast = _reads_class_token(self.visual)
        if self.fast:
            self.stack = blocks.Stack(self.visual.transformer.resblocks)

    def __call__(self, pseudo: Float[Tensor, "n P width"]) -> Float[Tensor, "n d"]:
        """`(n, P, width)` pseudo-patches → `(n, d)` image features, not normalised."""
        patches = pseudo[:, self.source].to(self.dtype)
        return self._fast(patches) if self.fast else self._hooked(patches)

    def _hooked(self, patches: Float[Tensor, "n positions width"]) -> Float[Tensor, "n d"]:
        if self.channels_first:
            patches = patches.transpose(1, 2).unflatten(2, self.grid)
        else:
            patches = patches.unflatten(1, self.grid)
        # one blank image will do: all that follows the embedding takes its batch from the embedding's output
        handle = self.embedding.register_forward_hook(lambda *_: patches)
        try:
            return self.model.encode_image(self.blank, normalize=False)
        finally:
            handle.remove()

    def _fast(self, patches: Float[Tensor, "n positions width"]) -> Float[Tensor, "n d"]:
        visual = self.visual
        classes = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        x = torch.cat([classes, patches], dim=1) + visual.positional_embedding.to(patches.dtype)
        x = self.stack.read(visual.ln_pre(x), 0)
        return _project(visual.ln_post(x), visual.proj)


def _project(
    x: Float[Tensor, "n width"], projection: nn.Module | Float[Tensor, "width d"] | None
) -> Float[Tensor, "n d"]:
    if projection is None:
        return x
    return projection(x) if isinstance(projection, nn.Module) else x @ projection


def _token_embedding(text: Any) -> nn.Embedding:
    if hasattr(text, "token_embedding"):
        return text.token_embedding
    if hasattr(getattr(text, "transformer", None), "get_input_embeddings"):
        return text.transformer.get_input_embeddings()
    raise BackboneError(f"OTI needs a text tower with a token embedding; {type(text).__name__} has none")


def _patch_embedding(visual: Any) -> nn.Module:
    if hasattr(visual, "conv1") and hasattr(visual, "class_embedding"):
        return visual.conv1
    trunk = getattr(visual, "trunk", None)
    embedding = getattr(trunk, "patch_embed", None)
    known = hasattr(trunk, "blocks") or hasattr(trunk, "layers")
    if known and isinstance(embedding, nn.Module) and not isinstance(embedding, nn.ModuleList):
        return embedding
    raise BackboneError(no_patches(type(trunk or visual).__name__))


def _slots(
    backbone: Backbone, template: str, tokens: int
) -> tuple[Integer[Tensor, "1 context"], Int64[Tensor, " R"]]:
    """Token ids `(1, context)` of the template and the positions `(R,)` of its pseudo-tokens.

    Found by tokenising the template with two different fillers: the slots are where the ids differ.
    """
    whole_number(tokens, "tokens", 1)
    if not isinstance(template, str) or template.count("{}") != 1:
        raise BackboneError(f"template {template!r} needs exactly one {{}}")
    ids, cut = backbone.tokenize([template.replace("{}", " ".join([letter] * tokens)) for letter in "xz"])
    slots = (ids[0] != ids[1]).nonzero().flatten()
    before, after = template.split("{}")
    if cut.any():
        raise BackboneError(
            f"template {template!r} with {tokens} pseudo-tokens doesn't fit {backbone.context_length} positions"
        )
    if len(slots) != tokens or before[-1:].isalnum() or after[:1].isalnum():
        raise BackboneError(
            f"template {template!r}: the pseudo-tokens must stand apart from the words beside them"
        )
    return ids[:1].to(backbone.device), slots.to(backbone.device)


def _pool_type(model: Any, text: Any) -> str:
    return str(getattr(model, "text_pool_type", None) or getattr(text, "pool_type", ""))


def _is_causal(model: Any, text: Any) -> bool:
    """Whether the feature is read at the EOT token, which sees the positions before it alone."""
    plain = text is model or (type(text) is TextTransformer and text.cls_emb is None)
    return (
        plain
        and text.attn_mask is not None
        and _pool_type(model, text) in ("argmax", "eos")
        and blocks.are_standard(text.transformer.resblocks)
    )


def _reads_class_token(visual: Any) -> bool:
    """Whether this is open_clip's plain ViT, its feature read at the class token."""
    return (
        type(visual) is VisionTransformer
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and blocks.are_standard(visual.transformer.resblocks)
    )


Injection = PseudoText | PseudoPatches
