"""The embedded backbone: a nano CLIP of open_clip's own classes, trained on the embedded world.

Contrastive training as in CLIP (Radford et al. 2021, section 2), with fresh images at every step and batches made of
groups of scenes that differ in a few factors: what a small image tower learns last, such as shape, is then what it
must know to tell an image from its neighbours. At first each tower also learns to name the factors, by a linear head
that is thrown away: without it, features of both towers that mean nothing yet have nothing to agree on for long.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from crossgap import links
from crossgap.backbones.settings import own_settings
from crossgap.datasets import world
from crossgap.datasets.hashing import hashed
from crossgap.metrics import classification
from crossgap.metrics.retrieval import retrieval_metrics
from crossgap.metrics.retrieval.ceiling import recall_ceiling
from crossgap.training.augment import augmentation, slip_head, two_views
from crossgap.training.batches import batch
from crossgap.training.bpe import learn_merges, write_merges
from crossgap.training.nano_recipe import IntraModal, NanoRecipe

if TYPE_CHECKING:
    import open_clip
    import torch
    from jaxtyping import Float, Int, UInt8

MERGES, CONFIG, WEIGHTS = "bpe.txt.gz", "open_clip_config.json", "open_clip_model.safetensors"
MEAN = STD = 0.5
_VOCABULARY_IMAGES = 4000


@own_settings()
def train(
    recipe: NanoRecipe,
    folder: Path,
    checkpoint: Path,
    *,
    log: Callable[[dict[str, float]], None] | None = None,
    save_seconds: float = 60,
) -> list[float]:
    """Train the backbone and write it to a folder in open_clip's local-dir format. Gives the curve of the loss.

    The global state of torch (generator, threads) is left as it was.

    Args:
        checkpoint: the file that a killed training of this recipe continues from; removed once the backbone is
            written.
        log, save_seconds: as for `trainer.fit`.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file
    from torch.nn.functional import normalize

    from crossgap.backbones.tokenizers import load_tokenizer
    from crossgap.training.texts import text_features
    from crossgap.training.trainer import Learner, fit, rate

    if not 1 <= recipe.logit_scale <= recipe.max_logit_scale:
        warnings.warn(
            f"logit_scale: {recipe.logit_scale:g} is brought into 1 to {recipe.max_logit_scale:g}, max_logit_scale, "
            "after the first step: start from within",
            stacklevel=2,
        )
    contrastive = open_clip.ClipLoss()

    folder.mkdir(parents=True, exist_ok=True)
    config = _write_config(recipe, folder)
    tokenizer = load_tokenizer(f"local-dir:{folder}")
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        model, heads = _initial(recipe, config)

        def gradients(step: int) -> dict[str, float]:
            pairs = batch(recipe, step)
            images = model.encode_image(to_tensor(pairs.images))
            texts = text_features(model, tokenizer(pairs.texts))
            scale = model.logit_scale.exp()
            loss = contrastive(normalize(images, dim=-1), normalize(texts, dim=-1), scale)
            values = {"loss": loss.item()}
            if step < recipe.naming_steps:
                naming = _naming(heads[0](images), pairs.scenes) + _naming(heads[1](texts), pairs.mentions)
                loss = loss + recipe.naming_weight * (1 - step / recipe.naming_steps) * naming
            if recipe.intra_modal:
                term = _intra_modal(recipe.intra_modal, recipe.seed, model, heads[2], pairs.images, step)
                loss, values["slip"] = loss + recipe.intra_modal.weight * term, term.item()
            loss.backward()
            return values

        @torch.no_grad()
        def clamp() -> None:
            model.logit_scale.clamp_(0, math.log(recipe.max_logit_scale))

        curves = fit(
            Learner(
                torch.nn.ModuleDict({"model": model, "heads": heads}),
                _optimizer(recipe, [*model.parameters(), *heads.parameters()]),
                gradients,
                rate=lambda step: rate(step, recipe.steps, recipe.warmup),
                clip_grad_norm=recipe.clip_grad_norm,
                clipped=list(model.parameters()),
                after=clamp,
            ),
            recipe.steps,
            checkpoint,
            log=log,
            save_seconds=save_seconds,
            label=folder.name,
        )
    finally:
        torch.set_num_threads(threads)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, links.freed(folder / WEIGHTS))
    checkpoint.unlink()
    return [row["loss"] for row in curves]


def _initial(recipe: NanoRecipe, config: dict[str, Any]) -> tuple[open_clip.CLIP, torch.nn.ModuleList]:
    """The model and the two heads, image and text, that name the factors."""
    import open_clip
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = open_clip.CLIP(**config, init_logit_scale=math.log(recipe.logit_scale))
        names = sum(len(values) for values in world.FACTORS.values())
        heads = torch.nn.ModuleList(torch.nn.Linear(config["embed_dim"], names) for _ in range(2))
        if recipe.intra_modal:
            width = config["vision_cfg"]["width"]
            heads.append(slip_head(width, recipe.intra_modal.hidden, recipe.intra_modal.width))
    with torch.no_grad():
        model.visual.positional_embedding.mul_(recipe.position_gain)
    return model, heads


def _intra_modal(
    term: IntraModal,
    seed: int,
    model: open_clip.CLIP,
    head: torch.nn.Module,
    images: UInt8[np.ndarray, "n 32 32 3"],
    step: int,
) -> Float[torch.Tensor, ""]:
    """SLIP's term over two views of the first images `(n, 32, 32, 3)` of a batch."""
    import torch
    from torch.nn.functional import normalize

    from crossgap import losses
    from crossgap.backbones.backbone import without_projection

    view = augmentation(term.augment, world.SIDE, [MEAN] * 3, [STD] * 3)
    keys = hashed(seed, "views", step, np.arange(term.images)).tolist()
    pixels = torch.from_numpy(np.ascontiguousarray(images[: term.images].transpose(0, 3, 1, 2)))
    views = [two_views(view, image, key) for image, key in zip(pixels, keys, strict=True)]
    stacked = torch.cat([torch.stack(side) for side in zip(*views, strict=True)])
    with without_projection(model.visual, "proj"):
        features = normalize(head(model.encode_image(stacked)), dim=-1)
    first, second = features.chunk(2)
    return losses.slip(first, second, term.temperature)


def _naming(
    logits: Float[torch.Tensor, "n values"], scenes: Int[np.ndarray, "n factors"]
) -> Float[torch.Tensor, ""]:
    """Mean cross-entropy of naming each factor, over the items where it is known."""
    import torch
    from torch.nn.functional import cross_entropy

    truth, sizes = torch.from_numpy(scenes), [len(values) for values in world.FACTORS.values()]
    parts = zip(logits.split(sizes, dim=1), truth.unbind(dim=1), strict=True)
    sums = [cross_entropy(part, values, ignore_index=world.UNSAID, reduction="sum") for part, values in parts]
    return torch.stack(sums).sum() / (truth != world.UNSAID).sum()


def _write_config(recipe: NanoRecipe, folder: Path) -> dict[str, Any]:
    """Write the vocabulary and open_clip's configuration; gives the model's part of it."""
    indices = np.arange(_VOCABULARY_IMAGES)
    keys = world.item_keys("train", indices, recipe.seed)
    texts, _ = world.captions(world.scenes("train", indices, recipe.seed), keys)
    words = Counter(word for row in texts for text in row for word in text.replace(",", "").split())
    merges = learn_merges(words, recipe.merges)
    write_merges(links.freed(folder / MERGES), merges)
    vocabulary = {"vocab_size": 2 * 256 + len(merges) + 2, "tokenizer_kwargs": {"bpe_path": MERGES}}
    text = {**recipe.model["text_cfg"], **vocabulary}
    config = {**recipe.model, "text_cfg": text}
    preprocess = {
        "size": world.SIDE,
        "mode": "RGB",
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    document = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2)
    links.write(folder / CONFIG, document + "\n")
    return config


def to_tensor(images: UInt8[np.ndarray, "n 32 32 3"]) -> Float[torch.Tensor, "n 3 32 32"]:
    """uint8 images `(n, 32, 32, 3)` as the tower's input `(n, 3, 32, 32)`."""
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()
    return pixels.div_(255).sub_(MEAN).div_(STD)


def _optimizer(recipe: NanoRecipe, parameters: list[torch.nn.Parameter]) -> torch.optim.AdamW:
    import torch

    matrices = [parameter for parameter in parameters if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=1e-6)


def quality(folder: Path, seed: int, images: int = 400) -> dict[str, float]:
    """How well the backbone in a folder does on held-out images of the world.

    Returns:
        zero-shot accuracy of each labelling (templates averaged), recall@1 both ways beside the captions' ceiling,
        the centroid distance of unit features, and the logit scale.
    """
    import torch

    from crossgap.backbones import load_backbone
    from crossgap.metrics.gap import centroid_distance

    backbone = load_backbone(f"local-dir:{folder}")
    indices = np.arange(images)
    scenes, keys = world.scenes("test", indices, seed), world.item_keys("test", indices, seed)
    texts, mentions = world.captions(scenes, keys)
    pixels = [backbone.transform(Image.fromarray(image)) for image in world.render(scenes, keys)]
    image = backbone.encode_images(torch.stack(pixels)).features
    text = backbone.encode_texts(backbone.tokenize([text for row in texts for text in row])[0]).features
    prompts = pd.DataFrame(world.class_prompts(), columns=["labelling", "class", "template", "text"])
    prompt = backbone.encode_texts(backbone.tokenize(prompts["text"].tolist())[0]).features.numpy()
    figures: dict[str, float] = {}
    for number, (factor, values) in enumerate(world.FACTORS.items()):
        of = prompts["labelling"] == factor
        prototypes = classification.class_prototypes(prompt[of], prompts["class"][of])
        table = classification.zero_shot(image, np.array(values)[scenes[:, number]], *prototypes)
        figures[f"zero-shot/{factor}"] = classification.summarise(table)["accuracy"]
    owners = np.repeat(indices, world.CAPTIONS_PER_IMAGE)
    mentioned = mentions.reshape(-1, len(world.FACTORS))
    ceiling = recall_ceiling(scenes, mentioned, mentioned != world.UNSAID)
    return figures | {
        "text-image/recall@1": _recall_at_1(text, image, owners, indices),
        "text-image/recall@1 ceiling": ceiling,
        "image-text/recall@1": _recall_at_1(image, text, indices, owners),
        "centroid distance": centroid_distance(image, text),
        "logit scale": backbone.model.logit_scale.exp().item(),
    }


def _recall_at_1(*sides: Any) -> float:
    return float(retrieval_metrics(*sides)["recall@1"].mean())
