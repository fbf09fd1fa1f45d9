"""Fine-tuning of a backbone on captioned images, by any sum of losses (It's Not a Modality Gap, section 5).

Towers run in evaluation mode, without dropout and with the statistics that their norms have: the features of an item
then depend on it alone, and a batch can be computed in parts (gradient caching, Gao et al. 2021).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from crossgap import closure
from crossgap.backbones import Backbone
from crossgap.backbones.settings import own_settings
from crossgap.datasets.hashing import hashed
from crossgap.losses import TEMPERED, total
from crossgap.prepared.manifest import content
from crossgap.training import pairs as captioned_pairs
from crossgap.training import scratch as in_scratch
from crossgap.training.augment import augmentation, slip_head
from crossgap.training.finetune_recipe import Finetune
from crossgap.training.pairs import CaptionedImages, PairBatch
from crossgap.training.temperature import WithTemperature
from crossgap.training.texts import text_features
from crossgap.training.trainable import inputs_of, trainable, writer
from crossgap.training.trainer import Learner, Row, TrainingError, fit, rate

if TYPE_CHECKING:
    from jaxtyping import Float

BIAS = -10.0  # temperature and bias of the sigmoid loss at the start (Zhai et al. 2023, section 3.2)
HEAD_HIDDEN, HEAD_WIDTH = 4096, 256  # SLIP's, at most this wide


@own_settings()
def finetune(
    backbone: Backbone,
    pairs: CaptionedImages,
    root: Path,
    recipe: Finetune,
    folder: Path,
    *,
    scratch: Path,
    code: str | None = None,
    forward_size: int | None = None,
    workers: int = 0,
    save_seconds: float = 60,
    log: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Train a backbone and write it to `folder`, as open_clip loads it from a `local-dir:`.

    Args:
        backbone: in float32; its parameters change.
        pairs: `captions_of` the dataset; `root` is what their image paths are relative to.
        scratch: where the checkpoint lies until the training is done.
        code: a hash of the training's code, as `closure.digest` gives it; a checkpoint of other code is not continued.
            If not given, the hash of this module and of the loading of backbones.
        forward_size: how many pairs go through the towers together; the whole batch, if not given. It bounds the
            memory and changes nothing beyond rounding.

    Returns:
        the curves, as `trainer.fit` gives them: `loss`, every term by its name, `temperature`, and of the batches
        `centroid_distance` and `matching_cosine`.

    Raises:
        TrainingError: the backbone and the recipe don't fit each other, or the loss is not finite.
    """
    write = writer(backbone, recipe.width)
    learning = Learning(backbone, recipe)
    steps = recipe.epochs * (len(pairs) // recipe.batch_size)
    made_from = {
        "recipe": recipe.model_dump(),
        "backbone": backbone.provenance,
        "images": list(zip(pairs.images["id"], content(pairs.images), strict=True)),
        "captions": pairs.captions,
        "code": code or closure.digest("crossgap.training.finetune", "crossgap.backbones.loading"),
    }
    kept = in_scratch.folder(scratch, made_from, {name: made_from[name] for name in ("code", "recipe")})
    source = _Source(pairs, steps, recipe, backbone, root, workers)
    learner = Learner(
        learning,
        learning.optimizer(),
        lambda step: learning.gradients(source.at(step), forward_size, step),
        rate=lambda step: rate(step, steps, recipe.warmup, recipe.schedule),
        clip_grad_norm=recipe.clip_grad_norm,
        after=learning.clamp,
    )
    curves = fit(
        learner,
        steps,
        kept / in_scratch.CHECKPOINT,
        log=log,
        save_seconds=save_seconds,
        label=f"{recipe.backbone} {folder.name}",
    )
    learning.keep_temperature()
    backbone.model.requires_grad_(False)
    write(folder)
    in_scratch.remove(kept)
    return curves


def captions_of(manifest: pd.DataFrame, recipe: Finetune) -> CaptionedImages:
    """The pairs of a dataset that a recipe names.

    Raises:
        TrainingError: it has no captions, or fewer captioned images than a batch.
    """
    pairs = captioned_pairs.captioned(
        manifest, recipe.split, captions=recipe.captions, silent_on=recipe.silent_on
    )
    if len(pairs) < recipe.batch_size:
        raise TrainingError(
            f"batch_size: {recipe.batch_size} is more than the {len(pairs)} captioned images of split "
            f"{recipe.split!r}; give less"
        )
    return pairs


class Learning(WithTemperature):
    """Everything that learns in a fine-tuning: the towers, the temperature and bias, and a head for views.

    Attributes:
        teacher: the backbone as it was, where the loss asks for it; it doesn't learn.
    """

    def __init__(self, backbone: Backbone, recipe: Finetune) -> None:
        super().__init__(recipe.temperature, recipe.learn_temperature, backbone.device)
        self.backbone, self.recipe = backbone, recipe
        self.teacher = (
            replace(backbone, model=copy.deepcopy(backbone.model).requires_grad_(False))
            if "hybrid_distillation" in recipe.losses
            else None
        )
        self.new = trainable(backbone, recipe.width, recipe.seed)
        self.model = backbone.model
        self.bias = (
            nn.Parameter(torch.tensor(BIAS, device=backbone.device)) if "siglip" in recipe.losses else None
        )
        self.head = self._head() if "slip" in recipe.losses else None

    def _head(self) -> nn.Module:
        held = self.backbone.projection("image")
        width = self.backbone.dim if held is None else inputs_of(getattr(*held))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.recipe.seed)
            head = slip_head(width, min(HEAD_HIDDEN, 2 * width), min(HEAD_WIDTH, width))
        return head.to(self.backbone.device)

    def optimizer(self) -> torch.optim.AdamW:
        """AdamW; new projections and heads have a learning rate of their own, temperature and bias no decay."""
        new = [*self.new, *(self.head.parameters() if self.head else ())]
        known = {id(parameter) for parameter in (*new, self.log_scale, self.bias)}
        towers = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        scalars = [p for p in (self.log_scale, self.bias) if p is not None and p.requires_grad]
        groups = [{"params": towers, "lr": self.recipe.lr}]
        if scalars:
            groups.append({"params": scalars, "lr": self.recipe.lr, "weight_decay": 0.0})
        if new:
            groups.append({"params": new, "lr": self.recipe.projection_lr or self.recipe.lr})
        return torch.optim.AdamW(groups, betas=self.recipe.betas, weight_decay=self.recipe.weight_decay)

    @torch.no_grad()
    def keep_temperature(self) -> None:
        """Write the temperature and the bias, where a loss has used it and the model has one, into the model's own."""
        used = bool(self.recipe.losses.keys() & TEMPERED)
        if used and isinstance(getattr(self.model, "logit_scale", None), nn.Parameter):
            self.model.logit_scale.copy_(self.log_scale)
        if self.bias is not None and isinstance(getattr(self.model, "logit_bias", None), nn.Parameter):
            self.model.logit_bias.copy_(self.bias)

    def gradients(self, batch: PairBatch, forward_size: int | None = None, step: int = 0) -> dict[str, float]:
        """Leave the gradients of a batch's loss in the parameters, and give its values.

        If the batch is computed in parts: first all features without a graph, then the gradient of the loss by each
        feature, then each part again with a graph (Gao et al. 2021). The loss is that of the whole batch either way.
        """
        size = forward_size or len(batch.pixels)
        parts = [slice(start, start + size) for start in range(0, len(batch.pixels), size)]
        taught = self._taught(batch, parts)
        if len(parts) == 1:
            loss, values = self.loss(*self.features(batch, parts[0]), step=step, taught=taught)
            loss.backward()
            return values
        with torch.no_grad():
            computed = [self.features(batch, part) for part in parts]
        leaves = [torch.cat(side).requires_grad_() for side in zip(*computed, strict=True)]
        loss, values = self.loss(*leaves, step=step, taught=taught)
        loss.backward()
        for part in parts:
            features = self.features(batch, part)
            told = {
                x: leaf.grad[part] for x, leaf in zip(features, leaves, strict=True) if leaf.grad is not None
            }
            torch.autograd.backward(list(told), list(told.values()))
        return values

    def features(self, batch: PairBatch, part: slice) -> tuple[Tensor, ...]:
        """Features `(n, d)` of the images and texts of a part of the batch, and the input of the views' head."""
        with self._autocast():
            found = [
                self.backbone.forward_images(batch.pixels[part]).features,
                text_features(self.model, batch.ids[part]).float(),
            ]
            for view in batch.views or ():
                encoded = self.backbone.forward_images(view[part])
                found.append(encoded.features if encoded.preprojection is None else encoded.preprojection)
        return tuple(found)

    @torch.no_grad()
    def _taught(self, batch: PairBatch, parts: Sequence[slice]) -> tuple[Tensor, Tensor] | None:
        """The teacher's features of the images and texts of a batch."""
        if self.teacher is None:
            return None
        with self._autocast():
            images = [self.teacher.forward_images(batch.pixels[part]).features for part in parts]
            texts = [text_features(self.teacher.model, batch.ids[part]).float() for part in parts]
        return torch.cat(images), torch.cat(texts)

    def _reference(self, like: Float[Tensor, "n d"], step: int) -> Float[Tensor, "n d"]:
        """Points `(n, d)` from N(0, 1), a function of the seed and the step."""
        generator = torch.Generator().manual_seed(int(hashed(self.recipe.seed, "reference", step)[0]))
        return torch.randn(like.shape, generator=generator).to(like.device)

    def loss(
        self,
        *features: Tensor,
        step: int = 0,
        taught: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """The weighted sum, and the values to log, of `features`. The head's norms see the views of the whole batch."""
        raw, seen = (features[0], features[1]), features[2:]
        images, texts = (normalize(side, dim=-1) for side in raw)
        views = None
        if seen and self.head is not None:
            first, second = normalize(self.head(torch.cat(seen)).float(), dim=-1).chunk(2)
            views = first, second
        loss, terms = total(
            self.recipe.losses,
            images,
            texts,
            temperature=self.temperature,
            bias=self.bias,
            views=views,
            intra_modal_temperature=self.recipe.intra_modal_temperature,
            raw=raw,
            reference=self._reference(raw[0], step) if "random_alignment" in self.recipe.losses else None,
            taught=taught,
            distillation_temperature=self.recipe.distillation_temperature,
        )
        with torch.no_grad():
            measured = {
                "loss": loss.detach(),
                **(terms if len(terms) > 1 else {}),
                "temperature": self.temperature,
                "centroid_distance": (images.mean(dim=0) - texts.mean(dim=0)).norm(),
                "matching_cosine": (images * texts).sum(dim=1).mean(),
            }
            values = torch.stack([value.float() for value in measured.values()]).tolist()
        return loss, dict(zip(measured, values, strict=True))

    def _autocast(self) -> AbstractContextManager[object]:
        if self.recipe.precision == "fp32":
            return nullcontext()
        # inside another autocast, even one that is off, the last step's casts of the weights would be used again
        torch.clear_autocast_cache()
        return torch.autocast(self.backbone.device.type, torch.bfloat16)


class _Source:
    """The batches of a training, starting at the step that is asked for first."""

    def __init__(
        self,
        pairs: CaptionedImages,
        steps: int,
        recipe: Finetune,
        backbone: Backbone,
        root: Path,
        workers: int,
    ) -> None:
        self.pairs, self.steps, self.recipe, self.backbone = pairs, steps, recipe, backbone
        self.root, self.workers = root, workers
        self.loaded: Iterator[PairBatch] | None = None

    def at(self, step: int) -> PairBatch:
        if self.loaded is None:
            self.loaded = self._from(step)
        return _moved(next(self.loaded), self.backbone.device)

    def _from(self, step: int) -> Iterator[PairBatch]:
        recipe, backbone = self.recipe, self.backbone
        view = None
        if "slip" in recipe.losses:
            shape = backbone.provenance["preprocessing"]
            view = augmentation(recipe.augment, shape["size"], shape["mean"], shape["std"])
        return captioned_pairs.load(
            self.pairs,
            self.pairs.batches(recipe.seed, recipe.batch_size, step, self.steps),
            self.root,
            backbone.transform,
            partial(backbone.tokenizer, context_length=backbone.context_length),
            seed=recipe.seed,
            view=view,
            workers=self.workers,
            pin_memory=backbone.device.type == "cuda",
        )


def _moved(batch: PairBatch, device: torch.device) -> PairBatch:
    def to(tensor: Tensor) -> Tensor:
        return tensor.to(device, non_blocking=True)

    views = None if batch.views is None else (to(batch.views[0]), to(batch.views[1]))
    return PairBatch(to(batch.pixels), to(batch.ids), views)
