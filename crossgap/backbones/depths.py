"""A tower that ends after its k-th block: the rest of it, from the pooling on, reads what that block gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from crossgap.errors import BackboneError

if TYPE_CHECKING:
    from crossgap.backbones import Backbone


def depth(backbone: Backbone, modality: str) -> int:
    """How many blocks a tower has.

    Raises:
        BackboneError: it has none that are known, as a convolutional one, or there is no such tower.
    """
    return len(getattr(*_held(backbone, modality)))


@contextmanager
def ending_after(backbone: Backbone, modality: str, block: int) -> Iterator[None]:
    """While this lasts, the tower's blocks are its first `block`; its last norm, pooling and projection stay.

    Raises:
        BackboneError: as of `depth`.
        ValueError: the tower has no such block.
    """
    owner, name = _held(backbone, modality)
    blocks = getattr(owner, name)
    if not 1 <= block <= len(blocks):
        raise ValueError(f"block {block} of the {modality} tower: it has 1 to {len(blocks)}")
    setattr(owner, name, blocks[:block])
    try:
        yield
    finally:
        setattr(owner, name, blocks)


def _held(backbone: Backbone, modality: str) -> tuple[Any, str]:
    """The module and the attribute that hold a tower's blocks, in the order in which they run."""
    if modality == "text":
        backbone.check_has_texts()
        tower = getattr(backbone.model, "text", backbone.model)
    else:
        tower = backbone.model.visual
    owners = [(getattr(tower, "transformer", None), "resblocks")]
    if modality == "image":
        owners += [(getattr(tower, "trunk", None), "blocks"), (tower, "blocks")]
    for owner, name in owners:
        if isinstance(getattr(owner, name, None), (nn.ModuleList, nn.Sequential)):
            return owner, name
    raise BackboneError(
        f"{backbone.provenance['model']}: the {modality} tower has no transformer blocks that are known; name a "
        "backbone with a ViT and a text tower of open_clip's"
    )
