from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from crossgap.backbones.loading import load_tokenizer
from crossgap.datasets import world
from crossgap.training import nano
from crossgap.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "backbones" / "nano"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """The recipe of params.yaml, made small and short."""
    section = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["nano"]
    model = section["model"]
    model["vision_cfg"] |= {"layers": 1, "width": 32, "head_width": 16}
    model["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2}
    model["embed_dim"] = 16
    return Recipe(**{**section, "steps": 12, "warmup": 2, "batch_size": 32, "lr": 4e-3, "threads": 1})


def test_training_is_a_function_of_the_recipe_and_lowers_the_loss(recipe, tmp_path) -> None:
    threads = torch.get_num_threads()
    losses = nano.train(recipe, tmp_path / "one", progress=False)
    torch.manual_seed(99)
    assert nano.train(recipe, tmp_path / "two", progress=False) == losses
    for name in (nano.WEIGHTS, nano.CONFIG, nano.MERGES):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert torch.get_num_threads() == threads
    assert np.mean(losses[-3:]) < losses[0] - 0.1
    other = nano.train(recipe.model_copy(update={"seed": 1, "steps": 1}), tmp_path / "other", progress=False)
    assert other[0] != losses[0]


def test_naming_is_the_mean_over_what_is_said() -> None:
    sizes = [len(values) for values in world.FACTORS.values()]
    logits = torch.randn(4, sum(sizes), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    said = world.scenes("train", np.arange(4), 0)
    said[0, 1:] = said[2, 3] = world.UNSAID
    losses = []
    for row, values in zip(logits.tolist(), said.tolist(), strict=True):
        for size, value in zip(sizes, values, strict=True):
            part, row = row[:size], row[size:]
            if value != world.UNSAID:
                losses.append(np.log(np.sum(np.exp(part))) - part[value])
    assert len(losses) == 18
    assert nano._naming(logits, said).item() == pytest.approx(np.mean(losses))


def test_training_leaves_the_generator_alone(recipe, tmp_path) -> None:
    before = torch.random.get_rng_state()
    nano.train(recipe.model_copy(update={"steps": 1}), tmp_path, progress=False)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_cut_texts_have_the_features_of_whole_ones() -> None:
    model = open_clip.create_model(f"local-dir:{FOLDER}").eval()
    tokens = load_tokenizer(f"local-dir:{FOLDER}")(
        ["a red circle", "a photo of a small thing on the left, in the snow"]
    )
    with torch.no_grad():
        torch.testing.assert_close(nano.text_features(model, tokens), model.encode_text(tokens))


def test_the_backbone_loads_as_any_open_clip_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{FOLDER}")
    weights = load_file(FOLDER / nano.WEIGHTS)
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    tokenizer = load_tokenizer(f"local-dir:{FOLDER}")
    config = json.loads((FOLDER / nano.CONFIG).read_text())["model_cfg"]
    assert tokenizer.vocab_size == config["text_cfg"]["vocab_size"] == len(model.token_embedding.weight)
    assert tokenizer.eot_token_id == tokenizer.vocab_size - 1
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 10e6
    image = world.render(world.scenes("test", [0], 0), world.item_keys("test", [0], 0))
    torch.testing.assert_close(transform(Image.fromarray(image[0])), nano.to_tensor(image)[0])


def test_the_backbone_knows_the_held_out_world() -> None:
    figures = nano.quality(FOLDER, seed=0, images=200)
    assert figures["zero-shot/colour"] >= 0.95 and figures["zero-shot/shape"] >= 0.95
    ceiling = figures["text-image/recall@1 ceiling"]
    assert 0.8 * ceiling <= figures["text-image/recall@1"] <= 1.1 * ceiling
    assert figures["centroid distance"] > 0.3
