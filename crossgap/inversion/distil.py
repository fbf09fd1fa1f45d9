"""Distillation: φ is trained to give the pseudo-tokens that OTI or OVI would find (after SEARLE, Baldrati et al. 2023).

It learns from unlabelled features of one modality: images' for OTI, texts' for OVI.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from crossgap import closure, fingerprint
from crossgap.arrays import label_array, real_array
from crossgap.backbones.backbone import Backbone
from crossgap.backbones.settings import own_settings
from crossgap.datasets.hashing import hashed
from crossgap.errors import CrossgapError
from crossgap.inversion.distil_recipe import LOSSES, TAUGHT, WIDER, Distil
from crossgap.inversion.invert import Inverter, check_targets, named_targets, of_one_size
from crossgap.inversion.methods import Method, Oti, Ovi
from crossgap.inversion.phi import FORMAT, Distilled, Phi
from crossgap.inversion.recipes import recipe as inversion_recipe
from crossgap.strict import options
from crossgap.training import scratch as in_scratch
from crossgap.training.trainer import Learner, Row, TrainingError, fit

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int64, Real

    from crossgap.arrays import Features


MEASURED = 512  # held-out items through the tower together
POINTS = 30  # at which the held-out loss is measured, at most


def distil(
    features: Real[Features, "n d"],
    backbone: Backbone,
    method: str = "oti",
    tokens: int = 1,
    template: str = "a photo of {}",
    ids: Sequence[str] | None = None,
    seed: int = 0,
    *,
    loss: str = "cosine",
    targets: Real[Features, "n tokens width"] | None = None,
    groups: Sequence[str] | None = None,
    on: str = "features given",
    **settings: Any,
) -> Distilled:
    """Train φ on features of one modality, without pairs and labels.

    Args:
        features: `(n, d)` of this backbone: images' for `oti`, texts' for `ovi`. Their length makes no difference.
        tokens: R, pseudo-tokens in the template, or P, pseudo-patches.
        ids: one unique name an item; row numbers if not given. The order of the items makes no difference.
        loss: `tokens`, `searle` or `cosine` (`distil_recipe.Loss`).
        targets: `(n, tokens, width)`, the tokens that OTI or OVI finds for the features; of the losses that need them
            they are found here, by the paper's recipe, if not given.
        groups: the image of each text, "" for none: texts of one image are learnt from, or held out, together.
        on: what is distilled on, in words: φ's file says it.
        settings: fields of `distil_recipe.Distil`.

    Raises:
        TypeError, ValueError: features that are not finite numbers, of another width, or ids, targets or groups that
            don't match them; `CrossgapError` for a wrong or unknown setting, method or loss.
        BackboneError: a tower that can't take pseudo-tokens, or a template that doesn't fit.
        TrainingError: too few items, or a loss that is not finite, also after the last step.
    """
    asked = options(Distil, "distil", {"seed": seed, **settings})
    methods: dict[str, Method] = {"oti": Oti(template, tokens), "ovi": Ovi(tokens)}
    if method not in [*methods]:
        raise CrossgapError(f"method {method!r} is none of {', '.join(methods)}")
    if not isinstance(on, str):
        raise TypeError(f"on is {on!r}: say in words what is distilled on")
    if targets is not None:
        targets = real_array(targets, "targets", "(n, tokens, width)")
    features, ids = named_targets(features, ids, backbone)
    items = Split.of(ids, asked, groups)
    if targets is None and loss in TAUGHT:
        found = Inverter(backbone, methods[method], inversion_recipe(method))
        targets = np.full((len(ids), *found.injection.shape), np.nan, np.float32)
        targets[items.learnt] = found(
            [ids[row] for row in items.learnt], features[items.learnt], lambda _: None
        ).tokens
    with tempfile.TemporaryDirectory() as scratch:
        return train(
            features, ids, backbone, methods[method], asked, loss, targets,
            on={"data": on}, scratch=Path(scratch), kept=False, groups=groups,
        )  # fmt: skip


class Split(NamedTuple):
    """Which items φ learns from and which are held out: a function of their ids, and of their groups'.

    Attributes:
        learnt, held_out: positions `(m,)`, in the order of the hashed ids and of the hashed groups.
    """

    learnt: Int64[np.ndarray, " m"]
    held_out: Int64[np.ndarray, " h"]

    @classmethod
    def of(cls, ids: Sequence[str], recipe: Distil, groups: Sequence[str] | None = None) -> Split:
        """Hold out whole groups, as many as are no more items than asked.

        Args:
            groups: as in `distil`, since another caption of an image tells much of one that is held out; each item by
                itself, if not given.

        Raises:
            TrainingError: fewer than two are left to learn from.
            TypeError, ValueError: groups that are no labels, or not as many as items.
        """
        of = [None] * len(ids) if groups is None else label_array(groups, len(ids), "groups")
        names = [item if group is None else str(group) for item, group in zip(ids, of, strict=True)]
        keys = [fingerprint.of_bytes(name.encode()) for name in names]
        own = [fingerprint.of_bytes(item.encode()) for item in ids]
        order = sorted(range(len(keys)), key=lambda row: (keys[row], own[row]))
        aside = round(recipe.held_out * len(order))
        while 0 < aside < len(order) and keys[order[aside]] == keys[order[aside - 1]]:
            aside -= 1
        held_out, rest = order[:aside], sorted(order[aside:], key=own.__getitem__)
        learnt = rest[: recipe.items]
        if len(learnt) < 2:
            raise TrainingError(
                f"{len(ids)} items, of which {aside} are held out, leave {len(learnt)} to distil on: give at least 2"
            )
        return cls(np.array(learnt, int), np.array(held_out, int))


@own_settings()
def train(
    features: Real[np.ndarray, "n d"],
    ids: Sequence[str],
    backbone: Backbone,
    method: Method,
    recipe: Distil,
    loss: str,
    targets: Real[np.ndarray, "n tokens width"] | None,
    *,
    on: dict[str, Any],
    scratch: Path,
    groups: Sequence[str] | None = None,
    code: str | None = None,
    save_seconds: float = 60,
    kept: bool = True,
    log: Callable[[Row], None] | None = None,
) -> Distilled:
    """As `distil`, going on from the checkpoint in `scratch` if there is one.

    A held-out item whose feature φ learns from is not measured: captions of two images may be the same words.

    Args:
        groups: as in `distil`.
        targets: as in `distil`; rows of items that φ doesn't learn from aren't looked at, and items whose tokens are
            not finite are left out.
        on: JSON-able: what the features are.
        code: a name of what trains, as of `closure.digest`: a checkpoint of other code isn't taken up; that of this
            module and of loading backbones, if not given.
        kept: whether `scratch` outlives this.
    """
    if loss not in LOSSES:
        raise CrossgapError(f"loss {loss!r} is none of {', '.join(LOSSES)}")
    check_targets(features, ids, backbone)
    injection, device = method.inject(backbone), backbone.device
    items = Split.of(ids, recipe, groups)
    learnt, taught = items.learnt, None
    if loss in TAUGHT:
        learnt, tokens = _taught(loss, targets, (len(ids), *injection.shape), learnt)
        taught = torch.from_numpy(tokens).to(device)
    known = set(fingerprint.of_rows(features[learnt]))
    of_held_out = fingerprint.of_rows(features[items.held_out])
    held_out = items.held_out[[one not in known for one in of_held_out]]
    made_by = {
        "format": FORMAT,
        "model": backbone.provenance["model"],
        "weights_sha256": backbone.provenance["weights_sha256"],
        "method": method.as_dict(),
        "dim": backbone.dim,
        "shape": list(injection.shape),
        "loss": loss,
        "recipe": recipe.model_dump(),
        "on": {**on, "items": len(learnt), "held_out": len(held_out)},
        "code": code or closure.digest("crossgap.inversion.distil", "crossgap.backbones.loading"),
    }
    material = [
        features[learnt],
        features[held_out],
        *([] if taught is None else [taught.cpu().numpy()]),
    ]
    made_from = [
        made_by,
        backbone.provenance,
        [fingerprint.of_rows(held) for held in material],
        str(device.type),
    ]
    x, unseen = [torch.from_numpy(of_one_size(held)).to(device) for held in material[:2]]

    phi = initial(backbone.dim, injection.shape, recipe.seed).to(device)
    size = min(recipe.batch_size, len(x))
    an_epoch = len(x) // size
    steps, label = recipe.epochs * an_epoch, f"distil {method.name} {loss}"

    def measure(_: int) -> dict[str, float]:
        return {"held_out": cosine_loss(phi, unseen, injection)}

    folder = in_scratch.folder(scratch, made_from, made_by)
    curves = fit(
        _learner(phi, loss, recipe, injection, x, taught, size),
        steps,
        folder / in_scratch.CHECKPOINT,
        measure=measure if len(unseen) else None,
        measured_at=measured_steps(recipe.epochs, an_epoch),
        log=log,
        save_seconds=save_seconds,
        kept=kept,
        label=label,
    )
    if not math.isfinite(left := cosine_loss(phi, x[:size], injection)):
        raise TrainingError(f"{label}: the loss is {left} after the last of {steps} steps. Lower lr")
    in_scratch.remove(folder)
    return Distilled(backbone, method, phi.eval().requires_grad_(False), made_by, curves)


def _taught(
    loss: str,
    targets: Real[np.ndarray, "n tokens width"] | None,
    wanted: tuple[int, ...],
    learnt: Int64[np.ndarray, " m"],
) -> tuple[Int64[np.ndarray, " k"], Float32[np.ndarray, "k tokens width"]]:
    """Those of the items that have finite tokens, by their positions, and these tokens."""
    if targets is None or targets.shape != wanted:
        given = None if targets is None else targets.shape
        raise ValueError(f"targets: the loss {loss!r} needs tokens {wanted}, not {given}")
    learnt = learnt[np.isfinite(targets[learnt]).all(axis=(1, 2))]
    if len(learnt) < 2:
        raise TrainingError(f"targets: {len(learnt)} of the items have finite tokens: give at least 2")
    return learnt, np.ascontiguousarray(targets[learnt], np.float32)


def _learner(
    phi: Phi,
    loss: str,
    recipe: Distil,
    encode: Callable[[Tensor], Tensor],
    features: Float[Tensor, "n d"],
    taught: Float[Tensor, "n tokens width"] | None,
    size: int,
) -> Learner:
    """φ by AdamW on batches of `size` items, of `features` and of the tokens that they are `taught`."""
    device, order = features.device, _Order(recipe.seed, len(features))

    def gradients(step: int) -> dict[str, float]:
        epoch, number = divmod(step, len(features) // size)
        rows = order.of(epoch)[number * size : (number + 1) * size].to(device)
        made = phi(features[rows], kept(recipe, step, size, WIDER * phi.dim, device))
        tokens = None if taught is None else taught[rows]
        found = losses(loss, made, tokens, features[rows], encode, recipe.temperature)
        found.backward()
        return {"loss": found.item()}

    optimizer = torch.optim.AdamW(phi.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    return Learner(phi, optimizer, gradients)


def losses(
    kind: str,
    made: Float[Tensor, "n tokens width"],
    taught: Float[Tensor, "n tokens width"] | None,
    features: Float[Tensor, "n d"],
    encode: Callable[[Tensor], Tensor],
    temperature: float,
) -> Float[Tensor, ""]:
    """The loss of a batch, a mean over its items.

    Args:
        kind: as in `distil_recipe.Loss`.
        made: `(n, t, width)`, φ's tokens.
        taught: `(n, t, width)`, those that were found by optimisation, of the kinds that need them.
        features: `(n, d)` that the tokens stand for.
        encode: tokens → `(n, d)` features of the other modality.

    Raises ValueError without the tokens that the kind needs.
    """
    if kind == "cosine":
        return _cosine(made, features, encode)
    if taught is None:
        raise ValueError(f"taught: the loss {kind!r} needs tokens that were found by optimisation")
    if kind == "tokens":
        return (made - taught).square().mean()
    return _cosine(made, features, encode) + contrastive(made, taught, temperature)


def _cosine(
    made: Float[Tensor, "n tokens width"],
    features: Float[Tensor, "n d"],
    encode: Callable[[Tensor], Tensor],
) -> Float[Tensor, ""]:
    return (1 - cosine_similarity(encode(made).float(), features)).mean()


def contrastive(
    made: Float[Tensor, "n tokens width"], taught: Float[Tensor, "n tokens width"], temperature: float
) -> Float[Tensor, ""]:
    """SEARLE's L_distil (Baldrati et al. 2023, equation 4): InfoNCE both ways, negatives of either side.

    Of item k: −log e^{c(v̄ₖ, vₖ)/τ} / (Σⱼ e^{c(v̄ₖ, vⱼ)/τ} + Σ_{j≠k} e^{c(v̄ₖ, v̄ⱼ)/τ}), and the same with vₖ and v̄ₖ
    exchanged, v̄ being optimised tokens, v those of φ, c the cosine.
    """
    ours, theirs = (normalize(held.flatten(1), dim=1) for held in (made, taught))
    across, same = ours @ theirs.T / temperature, torch.arange(len(ours), device=ours.device)
    total = made.new_zeros(())
    for rows, one in ((across, ours), (across.T, theirs)):
        within = (one @ one.T / temperature).fill_diagonal_(-torch.inf)
        total = total + cross_entropy(torch.cat([rows, within], dim=1), same)
    return total


@torch.no_grad()
def cosine_loss(phi: Phi, features: Float[Tensor, "n d"], encode: Callable[[Tensor], Tensor]) -> float:
    """The mean over `(n, d)` features of 1 − cosine to what the tower makes of φ's tokens."""
    parts = [1 - cosine_similarity(encode(phi(part)).float(), part) for part in features.split(MEASURED)]
    return torch.cat(parts).double().mean().item()


def initial(dim: int, shape: tuple[int, int], seed: int) -> Phi:
    """φ before its first step: PyTorch's own start, a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Phi(dim, shape)


def kept(
    recipe: Distil, step: int, items: int, width: int, device: torch.device
) -> Float[Tensor, "2 items width"] | None:
    """Dropout's factors `(2, items, width)` at a step, drawn on the CPU: the same on every device."""
    if not recipe.dropout:
        return None
    drawn = torch.rand(2, items, width, generator=_stream(recipe.seed, "dropout", step))
    return ((drawn >= recipe.dropout) / (1 - recipe.dropout)).to(device)


def measured_steps(epochs: int, an_epoch: int) -> list[int]:
    """The ends of at most `POINTS` epochs, spread evenly, and the start."""
    return sorted(
        {int(epoch) * an_epoch for epoch in np.rint(np.linspace(0, epochs, min(epochs, POINTS) + 1))}
    )


class _Order:
    """The order of the items in each epoch, a function of the seed and the epoch."""

    def __init__(self, seed: int, items: int) -> None:
        self.seed, self.items = seed, items
        self.held: tuple[int, Tensor] | None = None

    def of(self, epoch: int) -> Int64[Tensor, " items"]:
        if self.held is None or self.held[0] != epoch:
            drawn = torch.randperm(self.items, generator=_stream(self.seed, "order", epoch))
            self.held = epoch, drawn
        return self.held[1]


def _stream(seed: int, what: str, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(hashed(seed, what, number)[0]) >> 1)
