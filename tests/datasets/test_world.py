from __future__ import annotations

import hashlib
import re
import tarfile
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from crossgap.datasets import world
from crossgap.datasets.hashing import hashed, uniform


def items(split: str, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    indices = np.arange(count)
    return world.scenes(split, indices, seed), world.item_keys(split, indices, seed)


def test_hash_is_splitmix64() -> None:
    def slow(*parts: int) -> int:
        mask, state = 2**64 - 1, 0
        for part in parts:
            state = ((state ^ part) + 0x9E3779B97F4A7C15) & mask
            state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
            state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
            state ^= state >> 31
        return state

    assert slow(0) == 0xE220A8397B1DCDAF  # the generator's published first number for the seed 0
    assert hashed(0).tolist() == [slow(0)]
    assert hashed(7, np.arange(5), 2**63).tolist() == [slow(7, i, 2**63) for i in range(5)]
    values = uniform(hashed(3, np.arange(20_000)))
    assert values.min() >= 0 and values.max() < 1
    assert abs(values.mean() - 0.5) < 0.01 and abs(values.var() - 1 / 12) < 0.005


def test_items_depend_on_seed_split_and_index_alone() -> None:
    scenes, keys = items("test", 40)
    few = np.array([31, 2])
    again, again_keys = world.scenes("test", few, 0), world.item_keys("test", few, 0)
    np.testing.assert_array_equal(again, scenes[few])
    np.testing.assert_array_equal(world.render(again, again_keys), world.render(scenes, keys)[few])
    texts, mentions = world.captions(scenes, keys)
    some_texts, some_mentions = world.captions(again, again_keys)
    assert some_texts == [texts[i] for i in few]
    np.testing.assert_array_equal(some_mentions, mentions[few])
    assert world.captions(scenes, keys, count=2)[0] == [row[:2] for row in texts]
    for other, other_keys in (items("test", 40, seed=1), items("train", 40)):
        assert (other != scenes).any() and not np.intersect1d(other_keys, keys).size


def test_a_fifth_of_the_combinations_is_held_out() -> None:
    total = int(np.prod([len(values) for values in world.FACTORS.values()]))
    for seed in (0, 5):
        train = set(map(tuple, world.combinations("train", seed).tolist()))
        test = set(map(tuple, world.combinations("test", seed).tolist()))
        assert not train & test
        assert len(train) + len(test) == total and len(test) == round(total / 5)
    assert world.held_out(world.combinations("test", 0)).all()
    assert not world.held_out(world.combinations("train", 0)).any()
    with pytest.raises(ValueError, match="'val'"):
        world.scenes("val", np.arange(3), 0)


def test_combinations_come_once_before_any_comes_again() -> None:
    scenes, _ = items("test", 2560 + 3)
    assert len({tuple(row) for row in scenes[:2560].tolist()}) == 2560
    np.testing.assert_array_equal(scenes[2560:], scenes[:3])


def test_every_synonym_names_one_value_and_captions_are_true() -> None:
    names = [
        (name, factor, value)
        for factor, values in world.SYNONYMS.items()
        for value, synonyms in values.items()
        for name in synonyms
    ]
    assert max(Counter(name for name, _, _ in names).values()) == 1
    scenes, keys = items("train", 300)
    texts, mentions = world.captions(scenes, keys)
    for scene, row, said in zip(scenes, texts, mentions, strict=True):
        assert len(row) == 5
        for text, mention in zip(row, said, strict=True):
            found = {(factor, value) for name, factor, value in names if re.search(rf"\b{name}\b", text)}
            assert found == {
                (factor, values[number])
                for (factor, values), number in zip(world.FACTORS.items(), mention, strict=True)
                if number != world.UNSAID
            }
            assert found
            assert all(number in (true, world.UNSAID) for number, true in zip(mention, scene, strict=True))
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  | ,", text)


def test_captions_mention_what_they_are_asked_to() -> None:
    scenes, keys = items("train", 120)
    say = np.arange(120)[:, None] % 7 == np.arange(len(world.FACTORS))
    say |= say[::-1]
    _, mentions = world.captions(scenes, keys, say=say)
    assert ((mentions != world.UNSAID) >= say[:, None]).all()
    np.testing.assert_array_equal(
        np.where(mentions == world.UNSAID, scenes[:, None], mentions), np.repeat(scenes[:, None], 5, axis=1)
    )
    assert (mentions == world.UNSAID).any()


def test_images_show_their_factors() -> None:
    """Independent looks at the pixels: paint of the right hue at the right place, in the right amount."""
    factors = {factor: list(values) for factor, values in world.FACTORS.items()}
    plain, snow = factors["texture"].index("plain"), factors["background"].index("snow")
    red, circle = factors["colour"].index("red"), factors["shape"].index("circle")
    scenes = np.array(
        [[circle, red, size, plain, place, snow] for size in range(2) for place in range(5)] * 10
    )
    images = world.render(scenes, hashed(11, np.arange(len(scenes)))).astype(float)
    assert images.shape == (100, 32, 32, 3)
    painted = images[..., 0] - images[..., 2] > 90
    area = painted.sum(axis=(1, 2))
    assert area[scenes[:, 2] == 0].max() < 215 and area[scenes[:, 2] == 1].min() > 215
    y, x = np.mgrid[:32, :32] - 15.5
    centre = np.stack([(painted * x).sum((1, 2)) / area, (painted * y).sum((1, 2)) / area], axis=1)
    expected = {"left": (-5, 0), "right": (5, 0), "top": (0, -5), "bottom": (0, 5), "centre": (0, 0)}
    for number, place in enumerate(factors["place"]):
        offsets = centre[scenes[:, 4] == number] - expected[place]
        assert abs(offsets).max() < 2.2, place


@pytest.mark.parametrize("shape", world.FACTORS["shape"])
def test_shapes_are_themselves_at_any_jitter(shape: str) -> None:
    """A shape's outline agrees better with its own mean outline than with any other shape's."""
    scenes = np.array([[s, 0, 1, 0, 4, 1] for s in range(8) for _ in range(24)])
    images = world.render(scenes, hashed(5, np.arange(len(scenes)))).astype(float)
    outlines = ((images[..., 0] - images[..., 2]) > 90).reshape(8, 24, -1).astype(float)
    means = outlines.mean(axis=1)
    number = world.FACTORS["shape"].index(shape)
    distances = ((outlines[number][:, None] - means[None]) ** 2).sum(axis=-1)
    assert (distances.argmin(axis=1) == number).mean() > 0.85


def test_class_prompts_say_their_class_alone() -> None:
    prompts = world.class_prompts()
    assert {(factor, value) for factor, value, _, _ in prompts} == {
        (factor, value) for factor, values in world.FACTORS.items() for value in values
    }
    texts = [text for *_, text in prompts]
    assert len(set(texts)) == len(texts)
    assert {"a photo of a red object", "a photo of an orange object", "a photo of a circle"} <= set(texts)


def test_write_gives_a_manifest_and_the_same_bytes(tmp_path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "more")]
    for folder in folders:
        folder.mkdir()
    manifest = world.write(folders[0], 0, {"train": 6, "test": 4})
    pd.testing.assert_frame_equal(world.write(folders[1], 0, {"train": 6, "test": 4}), manifest)
    archives = [folder / "images.tar" for folder in folders]
    assert archives[0].read_bytes() == archives[1].read_bytes()
    more = world.write(folders[2], 0, {"train": 9, "test": 4}).set_index("id")
    pd.testing.assert_frame_equal(more.loc[manifest["id"]], manifest.set_index("id"))

    assert manifest["id"].is_unique and len(manifest) == 10 * 6 + len(world.class_prompts())
    images = manifest[manifest["modality"] == "image"]
    scenes, keys = items("test", 4)
    pixels = world.render(scenes, keys)
    with tarfile.open(archives[0]) as archive:
        assert archive.getnames() == [path.removeprefix("images.tar/") for path in images["path"]]
        for row in images.itertuples():
            data = archive.extractfile(row.path.removeprefix("images.tar/")).read()
            assert hashlib.blake2b(data, digest_size=16).hexdigest() == row.digest
        for i in range(4):
            member = archive.extractfile(f"test/{i:06d}.png")
            np.testing.assert_array_equal(np.asarray(Image.open(member)), pixels[i])

    test = manifest[manifest["split"] == "test"]
    texts, mentions = world.captions(scenes, keys)
    spoken = test[test["modality"] == "text"]
    assert spoken["text"].tolist() == [text for row in texts for text in row]
    assert spoken["id"].tolist() == [f"test/{i:06d}#{k}" for i in range(4) for k in range(5)]
    assert (spoken["group"] + "#" + spoken["rank"].astype(str) == spoken["id"]).all()
    np.testing.assert_array_equal(world.values(test[test["modality"] == "image"]), scenes)
    np.testing.assert_array_equal(world.values(spoken), mentions.reshape(20, -1))
    classes = manifest[manifest["split"] == "classes"]
    labels = classes[[f"label.{factor}" for factor in world.FACTORS]]
    assert (labels.notna().sum(axis=1) == 1).all()
    assert "classes/colour/red#0" in set(classes["id"])
