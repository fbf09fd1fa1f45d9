"""Where pseudo-tokens and pseudo-patches enter a tower.

One mechanism for every tower: a forward hook replaces what the embedding layer put out, and the model's own
forward pass does the rest. The fast path for causal text beside it computes the same features from the positions
that can reach the EOT token alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from open_clip.transformer import TextTransformer
from torch import Tensor, nn

from crossgap.backbones.backbone import Backbone, BackboneError


class PseudoText:
    """Encode a template with pseudo-tokens in place of its `{}` (Cross the Gap, section 4.1).

    Args:
        template: holds one `{}`.
        tokens: R, pseudo-tokens an item.

    Raises:
        BackboneError: a text tower without an embedding layer, or a template that doesn't fit the context.
    """

    def __init__(self, backbone: Backbone, template: str, tokens: int) -> None:
        self.model = backbone.model
        self.text = getattr(self.model, "text", self.model)
        self.embedding = _token_embedding(self.text)
        self.shape = (tokens, self.embedding.weight.shape[1])
        self.ids, self.slots = _slots(backbone, template, tokens)
        self.encode = self._causal if _is_causal(self.model, self.text) else self._hooked

    def __call__(self, pseudo: Tensor) -> Tensor:
        """`(n, R, width)` pseudo-tokens → `(n, d)` text features, not normalised."""
        return self.encode(pseudo)

    def _hooked(self, pseudo: Tensor) -> Tensor:
        def inject(_module: nn.Module, _inputs: tuple, embedded: Tensor) -> Tensor:
            return self._inject(embedded, pseudo)

        handle = self.embedding.register_forward_hook(inject)
        try:
            return self.model.encode_text(self.ids.expand(len(pseudo), -1))
        finally:
            handle.remove()

    def _causal(self, pseudo: Tensor) -> Tensor:
        text = self.text
        length = int(self._eot()) + 1
        embedded = self.embedding(self.ids[:, :length]).expand(len(pseudo), -1, -1)
        x = self._inject(embedded, pseudo).to(text.transformer.get_cast_dtype())
        x = x + text.positional_embedding[:length].to(x.dtype)
        x = text.transformer(x, attn_mask=text.attn_mask[:length, :length])
        x = text.ln_final(x[:, -1])
        projection = text.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection

    def _inject(self, embedded: Tensor, pseudo: Tensor) -> Tensor:
        embedded = embedded.expand(len(pseudo), -1, -1).clone()
        embedded[:, self.slots] = pseudo.to(embedded.dtype)
        return embedded

    def _eot(self) -> Tensor:
        if _pool_type(self.model, self.text) == "argmax":
            return self.ids[0].argmax()
        eos = getattr(self.model, "text_eos_id", None) or self.text.eos_id
        return (self.ids[0] == eos).int().argmax()


class PseudoPatches:
    """Encode an image of pseudo-patches, upsampled to the patch grid (Cross the Gap, section 4.2).

    Patch `k` of P fills the k-th of P equal runs of the grid in raster order, which is what nearest-neighbour
    upsampling along the token sequence does in the paper's code.

    Args:
        patches: P, pseudo-patches an item.

    Raises:
        BackboneError: a vision tower without patch tokens (ResNet, ConvNeXt, …), or P larger than its grid.
    """

    def __init__(self, backbone: Backbone, patches: int) -> None:
        visual = backbone.model.visual
        self.model = backbone.model
        self.embedding = _patch_embedding(visual)
        size = visual.image_size if isinstance(visual.image_size, tuple) else (visual.image_size,) * 2
        self.blank = torch.zeros(1, 3, *size, device=backbone.device, dtype=backbone.dtype)
        self.native = self._run(self.blank, None)[1]
        channels_first = self.native.ndim == 4 and isinstance(self.embedding, nn.Conv2d)
        self.width = self.native.shape[1 if channels_first else -1]
        self.grid = tuple(self.native.shape[2:] if channels_first else self.native.shape[1:-1])
        self.channels_first = channels_first
        positions = int(torch.Size(self.grid).numel())
        if patches > positions:
            raise BackboneError(f"{patches} pseudo-patches don't fit a grid of {positions} patches")
        self.shape = (patches, self.width)
        self.source = torch.arange(positions, device=backbone.device) * patches // positions

    def __call__(self, pseudo: Tensor) -> Tensor:
        """`(n, P, width)` pseudo-patches → `(n, d)` image features, not normalised."""
        x = pseudo[:, self.source].to(self.native.dtype)
        x = (
            x.transpose(1, 2).reshape(-1, self.width, *self.grid)
            if self.channels_first
            else x.unflatten(1, self.grid)
        )
        return self._run(self.blank, x)[0]

    def _run(self, images: Tensor, replacement: Tensor | None) -> tuple[Tensor, Tensor]:
        seen = []

        def inject(_module: nn.Module, _inputs: tuple, embedded: Tensor) -> Tensor | None:
            seen.append(embedded)
            return replacement

        handle = self.embedding.register_forward_hook(inject)
        try:
            features = self.model.encode_image(images)
        finally:
            handle.remove()
        return features, seen[0]


def _token_embedding(text: nn.Module) -> nn.Embedding:
    if hasattr(text, "token_embedding"):
        return text.token_embedding
    if hasattr(getattr(text, "transformer", None), "get_input_embeddings"):
        return text.transformer.get_input_embeddings()
    raise BackboneError(f"OTI needs a text tower with a token embedding; {type(text).__name__} has none")


def _patch_embedding(visual: nn.Module) -> nn.Module:
    if hasattr(visual, "conv1") and hasattr(visual, "class_embedding"):
        return visual.conv1
    trunk = getattr(visual, "trunk", None)
    if hasattr(trunk, "patch_embed") and hasattr(trunk, "blocks"):
        return trunk.patch_embed
    kind = type(trunk or visual).__name__
    raise BackboneError(f"OVI needs a vision tower over patch tokens; {kind} is none")


def _slots(backbone: Backbone, template: str, tokens: int) -> tuple[Tensor, Tensor]:
    """Token ids `(1, context)` of the template and the positions `(R,)` of its pseudo-tokens.

    Found by tokenising the template with two different fillers: the slots are where the ids differ.
    """
    if template.count("{}") != 1:
        raise BackboneError(f"template {template!r} needs exactly one {{}}")
    ids, cut = backbone.tokenize([template.format(" ".join([letter] * tokens)) for letter in "xz"])
    slots = (ids[0] != ids[1]).nonzero().flatten()
    if cut.any():
        raise BackboneError(
            f"template {template!r} with {tokens} pseudo-tokens doesn't fit {backbone.context_length} positions"
        )
    if len(slots) != tokens:
        raise BackboneError(
            f"template {template!r}: the pseudo-tokens must stand apart from the words beside them"
        )
    return ids[:1].to(backbone.device), slots.to(backbone.device)


def _pool_type(model: nn.Module, text: nn.Module) -> str:
    return getattr(model, "text_pool_type", None) or getattr(text, "pool_type", "")


def _is_causal(model: nn.Module, text: nn.Module) -> bool:
    """Whether the feature is read at the EOT token, which sees the positions before it alone."""
    plain = text is model or (
        type(text) is TextTransformer and text.cls_emb is None and not text.use_pad_mask
    )
    return plain and text.attn_mask is not None and _pool_type(model, text) in ("argmax", "eos")


Injection = PseudoText | PseudoPatches
Encoder = Callable[[Tensor], Tensor]
