from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from crossgap.backbones.tokenizers import load_tokenizer
from crossgap.catalogue import entries
from crossgap.datasets import world
from crossgap.datasets.hashing import hashed
from crossgap.training import nano
from crossgap.training.augment import Augment, augmentation, two_views
from crossgap.training.batches import batch
from crossgap.training.nano_recipe import IntraModal, NanoRecipe
from crossgap.training.texts import text_features
from tests.asked import ASKED

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "backbones" / "nano"


@pytest.fixture(scope="module")
def recipe() -> NanoRecipe:
    """The recipe of the catalogue, made small and short."""
    section = copy.deepcopy(entries.nano())
    model = section["model"]
    model["vision_cfg"] |= {"layers": 1, "width": 32, "head_width": 16}
    model["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2}
    model["embed_dim"] = 16
    return NanoRecipe(**{**section, "steps": 12, "warmup": 2, "batch_size": 32, "lr": 4e-3, "threads": 1})


def test_training_is_a_function_of_the_recipe_and_lowers_the_loss(recipe, tmp_path) -> None:
    threads = torch.get_num_threads()
    losses = nano.train(recipe, tmp_path / "one", tmp_path / "one.pt")
    torch.manual_seed(99)
    assert nano.train(recipe, tmp_path / "two", tmp_path / "two.pt") == losses
    for name in (nano.WEIGHTS, nano.CONFIG, nano.MERGES):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert torch.get_num_threads() == threads
    assert np.mean(losses[-3:]) < losses[0] - 0.1
    other = nano.train(
        recipe.model_copy(update={"seed": 1, "steps": 1}), tmp_path / "other", tmp_path / "other.pt"
    )
    assert other[0] != losses[0]


@pytest.mark.parametrize(("start", "end"), [(200, 100), (0.5, 1)])
def test_a_logit_scale_out_of_its_range_is_brought_into_it_and_said(recipe, tmp_path, start, end) -> None:
    asked = recipe.model_copy(update={"logit_scale": start, "steps": 1, "lr": 1e-9})
    with pytest.warns(
        UserWarning, match=f"^logit_scale: {start:g} is brought into 1 to 100, max_logit_scale, after"
    ) as said:
        nano.train(asked, tmp_path / "out", tmp_path / "c.pt")
    assert len(said) == 1
    scale = load_file(tmp_path / "out" / nano.WEIGHTS)["logit_scale"].item()
    assert scale == pytest.approx(np.log(end), abs=1e-6)


def test_the_most_logit_scale_is_no_less_than_the_least(recipe) -> None:
    with pytest.raises(ValueError, match=r"max_logit_scale\n.*greater than or equal to 1"):
        NanoRecipe(**{**recipe.model_dump(), "max_logit_scale": 0.5})


@pytest.mark.parametrize("link", [Path.hardlink_to, Path.symlink_to])
def test_a_backbone_takes_the_place_of_links(recipe, tmp_path, link) -> None:
    names = (nano.WEIGHTS, nano.CONFIG, nano.MERGES)
    (tmp_path / "out").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(b"shared")
        link(tmp_path / "out" / name, tmp_path / name)
    nano.train(recipe.model_copy(update={"steps": 1}), tmp_path / "out", tmp_path / "c.pt")
    assert {(tmp_path / name).read_bytes() for name in names} == {b"shared"}
    assert not any((tmp_path / "out" / name).is_symlink() for name in names)
    load_file(tmp_path / "out" / nano.WEIGHTS)


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
    nano.train(recipe.model_copy(update={"steps": 1}), tmp_path, tmp_path / "c.pt")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_cut_texts_have_the_features_of_whole_ones() -> None:
    model = open_clip.create_model(f"local-dir:{FOLDER}").eval()
    tokens = load_tokenizer(f"local-dir:{FOLDER}")(
        ["a red circle", "a photo of a small thing on the left, in the snow"]
    )
    with torch.no_grad():
        torch.testing.assert_close(text_features(model, tokens), model.encode_text(tokens))


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


def with_views(recipe: NanoRecipe, **given) -> NanoRecipe:
    term = IntraModal(**{"images": 6, "hidden": 20, "width": 10, **given})
    return recipe.model_copy(update={"intra_modal": term, "steps": 3})


def test_the_term_inside_the_images_is_slips_behind_the_head(recipe, tmp_path) -> None:
    asked = with_views(recipe, temperature=0.2)
    model, heads = nano._initial(asked, nano._write_config(asked, tmp_path))
    images = batch(asked, 0).images
    found = nano._intra_modal(asked.intra_modal, asked.seed, model, heads[2], images, 5)
    view = augmentation(Augment(), world.SIDE, [0.5] * 3, [0.5] * 3)
    keys = hashed(asked.seed, "views", 5, np.arange(6)).tolist()
    views = [
        two_views(view, Image.fromarray(image), key) for image, key in zip(images[:6], keys, strict=True)
    ]
    visual, given = model.visual, []
    handle = visual.ln_post.register_forward_hook(lambda _module, _inputs, output: given.append(output))
    model.encode_image(torch.stack([one for side in zip(*views, strict=True) for one in side]))
    handle.remove()
    pooled = given[0] if given[0].ndim == 2 else given[0][:, 0]
    x = torch.nn.functional.normalize(heads[2](pooled), dim=1).tolist()
    losses = []
    for j in range(12):
        similar = [sum(a * b for a, b in zip(x[j], row, strict=True)) / 0.2 for row in x]
        others = sum(np.exp(value) for k, value in enumerate(similar) if k != j)
        losses.append(np.log(others) - similar[(j + 6) % 12])
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_views_change_the_training_and_nothing_before_it(recipe, tmp_path) -> None:
    plain = nano.train(recipe.model_copy(update={"steps": 3}), tmp_path / "plain", tmp_path / "plain.pt")
    before = torch.random.get_rng_state()
    one = nano.train(with_views(recipe), tmp_path / "one", tmp_path / "one.pt")
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    assert nano.train(with_views(recipe), tmp_path / "two", tmp_path / "two.pt") == one
    weights = [(tmp_path / name / nano.WEIGHTS).read_bytes() for name in ("plain", "one", "two")]
    assert weights[1] == weights[2] != weights[0]
    # the model starts as it does without; from the first step on the term steers it
    assert one[0] == plain[0] and one[1] != plain[1]
    weak = nano.train(with_views(recipe, weight=1e-12), tmp_path / "weak", tmp_path / "weak.pt")
    assert weak == pytest.approx(plain, rel=1e-5)
    assert (
        load_file(tmp_path / "one" / nano.WEIGHTS).keys()
        == load_file(tmp_path / "plain" / nano.WEIGHTS).keys()
    )


@pytest.mark.parametrize("views", [False, True])
def test_a_stopped_training_ends_with_the_same_bytes(recipe, tmp_path, monkeypatch, views) -> None:
    asked = with_views(recipe) if views else recipe
    asked = asked.model_copy(update={"steps": 6, "naming_steps": 4})
    expected = nano.train(asked, tmp_path / "whole", tmp_path / "whole.pt")
    real, steps = nano.batch, []

    def stopping(recipe: NanoRecipe, step: int):
        steps.append(step)
        if len(steps) == 4:
            raise InterruptedError
        return real(recipe, step)

    monkeypatch.setattr(nano, "batch", stopping)
    with pytest.raises(InterruptedError):
        nano.train(asked, tmp_path / "out", tmp_path / "out.pt", save_seconds=0)
    rows: list[dict] = []
    assert nano.train(asked, tmp_path / "out", tmp_path / "out.pt", log=rows.append) == expected
    assert steps == [0, 1, 2, 3, 3, 4, 5]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row.keys() == {"step", "loss", *(["slip"] if views else [])} for row in rows)
    assert (tmp_path / "out" / nano.WEIGHTS).read_bytes() == (tmp_path / "whole" / nano.WEIGHTS).read_bytes()
    assert list(tmp_path.glob("*.pt")) == []


@pytest.mark.parametrize("asked", ASKED)
def test_what_is_asked_of_torch_around_it_changes_no_bit(recipe, tmp_path, asked) -> None:
    short = recipe.model_copy(update={"steps": 2})
    wanted = nano.train(short, tmp_path / "plain", tmp_path / "plain.pt")
    with ASKED[asked]():
        found = nano.train(short, tmp_path / "asked", tmp_path / "asked.pt")
    assert found == wanted
    weights = [(tmp_path / name / nano.WEIGHTS).read_bytes() for name in ("plain", "asked")]
    assert weights[0] == weights[1]
