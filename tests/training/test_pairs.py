"""Which pairs a training sees, and in which order: against loops over the manifest."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from crossgap.backbones.backbone import Backbone
from crossgap.encode import Images
from crossgap.errors import DatasetError
from crossgap.prepared import manifest
from crossgap.training.augment import Augment, augmentation
from crossgap.training.pairs import CaptionedImages, PairBatch, captioned, load
from crossgap.training.trainer import TrainingError


@pytest.fixture(scope="module")
def table(scenes) -> pd.DataFrame:
    """The scenes; two images lost their captions, and a caption comes before the image and out of order."""
    items = scenes[0]
    bare = sorted(items.loc[items["modality"] == "image", "id"])[3:5]
    items = items[(items["modality"] == "image") | ~items["group"].isin(bare)]
    return items.sample(frac=1, random_state=0).reset_index(drop=True)


def said_of(table: pd.DataFrame, silent_on: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Image → its captions by rank, by a loop over rows."""
    found: dict[str, list[tuple[int, str]]] = {}
    images = {
        row["id"]
        for row in table.to_dict("records")
        if row["modality"] == "image" and row["split"] == "train"
    }
    for row in table.to_dict("records"):
        silent = all(row[f"label.{name}"] is None for name in silent_on)
        if row["modality"] == "text" and row["group"] in images and silent:
            found.setdefault(row["group"], []).append((row["rank"], row["text"]))
    return {image: [text for _, text in sorted(said)] for image, said in sorted(found.items())}


@pytest.mark.parametrize("silent_on", [(), ("texture",), ("texture", "background")])
def test_captioned_images_and_what_is_said_of_them(table, silent_on) -> None:
    expected = said_of(table, silent_on)
    every = captioned(table, "train", captions="any", silent_on=silent_on)
    assert dict(zip(every.images["id"], every.captions, strict=True)) == expected
    first = captioned(table, "train", silent_on=silent_on)
    assert list(first.images["id"]) == list(expected)
    assert first.captions == [said[:1] for said in expected.values()]
    assert 0 < len(every) == len(first) <= 18
    counts = {len(said) for said in every.captions}
    assert len(counts) > 1 if silent_on else counts == {5}


def test_what_is_left_out_makes_no_pair(table) -> None:
    texts = table["modality"] == "text"
    mute = table[~texts | (table["group"] != "train/000000") | table["label.texture"].notna()]
    assert ((mute["modality"] == "text") & (mute["group"] == "train/000000")).any()
    assert "train/000000" in set(captioned(mute, "train").images["id"])
    assert "train/000000" not in set(captioned(mute, "train", silent_on=["texture"]).images["id"])


def test_errors_of_captioned(table) -> None:
    with pytest.raises(TrainingError, match=r"split: the dataset has no images of split 'val'.*test, train"):
        captioned(table, "val")
    with pytest.raises(
        TrainingError, match=r"silent_on: no labelling weather, mood; labellings: .*colour.*shape"
    ):
        captioned(table, "train", silent_on=["weather", "texture", "mood"])
    with pytest.raises(
        TrainingError, match=r"dataset: its split 'train' has 20 images and no captions: .*captioned"
    ):
        captioned(table[table["modality"] == "image"], "train")
    texts = (table["modality"] == "text") & table["label.colour"].isna()
    with pytest.raises(TrainingError, match="no captions without colour"):
        captioned(table[~texts], "train", silent_on=["colour"])


@pytest.mark.parametrize("size", [2, 5, 7, 18])
def test_batches_are_whole_and_an_epoch_shows_no_pair_twice(table, size) -> None:
    pairs = captioned(table, "train")
    a_time = len(pairs) // size
    batches = list(pairs.batches(0, size, 0, 4 * a_time))
    assert [len(batch) for batch in batches] == [size] * (4 * a_time)
    assert [step for batch in batches for _, step in batch] == list(np.repeat(np.arange(4 * a_time), size))
    orders = []
    for epoch in range(4):
        rows = [row for batch in batches[epoch * a_time : (epoch + 1) * a_time] for row, _ in batch]
        assert len(set(rows)) == len(rows) and set(rows) <= set(range(len(pairs)))
        orders.append(tuple(rows))
    assert len(set(orders)) == 4
    assert list(pairs.batches(1, size, 0, a_time)) != batches[:a_time]


def test_a_training_that_goes_on_sees_what_it_would_have_seen(table) -> None:
    pairs = captioned(table, "train")
    whole = list(pairs.batches(3, 5, 0, 11))
    for step in range(12):
        assert list(pairs.batches(3, 5, step, 11)) == whole[step:]


def test_the_order_is_of_the_ids_and_not_of_the_rows(table) -> None:
    def named(items: pd.DataFrame) -> list[list[tuple[str, list[str]]]]:
        pairs = captioned(items, "train", captions="any")
        ids = pairs.images["id"].tolist()
        return [[(ids[row], pairs.captions[row]) for row, _ in batch] for batch in pairs.batches(0, 6, 0, 9)]

    expected = named(table)
    for seed in (1, 2):
        assert named(table.sample(frac=1, random_state=seed).reset_index(drop=True)) == expected
    # an image more doesn't change the order of the others
    fewer = [one for batch in named(table[table["id"] != "train/000007"])[:2] for one, _ in batch]
    more = [one for batch in expected[:3] for one, _ in batch if one != "train/000007"]
    assert more[: len(fewer)] == fewer


def loaded(scenes, small: Backbone, pairs: CaptionedImages, batches: list, **more) -> list[PairBatch]:
    tokenize = partial(small.tokenizer, context_length=small.context_length)
    return list(load(pairs, iter(batches), scenes[1], small.transform, tokenize, **more))


def view():
    return augmentation(Augment(), 16, [0.5] * 3, [0.25] * 3)


def flat(batch: PairBatch) -> list[torch.Tensor]:
    return [batch.pixels, batch.ids, *(batch.views or ())]


def test_a_batch_holds_the_images_beside_their_captions(scenes, small, table) -> None:
    pairs = captioned(table, "train")
    batches = list(pairs.batches(0, 4, 0, 5))
    found = loaded(scenes, small, pairs, batches)
    images = Images(pairs.images, scenes[1], small.transform)
    for batch, rows in zip(found, batches, strict=True):
        assert batch.views is None
        assert torch.equal(batch.pixels, torch.stack([images[row] for row, _ in rows]))
        assert torch.equal(batch.ids, small.tokenize([pairs.captions[row][0] for row, _ in rows])[0])


def test_workers_and_the_generator_change_nothing(scenes, small, table) -> None:
    pairs = captioned(table, "train", captions="any")
    batches = list(pairs.batches(0, 4, 2, 8))
    before = torch.random.get_rng_state()
    expected = loaded(scenes, small, pairs, batches, view=view())
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        found = loaded(scenes, small, pairs, batches, view=view(), workers=2)
    assert len(found) == len(expected) == 6
    for one, other in zip(found, expected, strict=True):
        for x, y in zip(flat(one), flat(other), strict=True):
            assert torch.equal(x, y)


def test_views_and_captions_are_of_the_seed_the_step_and_the_id(scenes, small, table) -> None:
    pairs = captioned(table, "train", captions="any")
    fewer = captioned(table[table["id"] != pairs.images["id"][0]], "train", captions="any")
    (one,) = loaded(scenes, small, pairs, [[(5, 3), (9, 3), (1, 3)]], view=view())
    (other,) = loaded(scenes, small, fewer, [[(0, 3), (4, 3)]], view=view())  # a row less comes before them
    for x, y in zip(flat(one), flat(other), strict=True):
        assert torch.equal(x[[2, 0]], y)
    (next_step,) = loaded(scenes, small, pairs, [[(5, 4), (9, 4), (1, 4)]], view=view())
    (next_seed,) = loaded(scenes, small, pairs, [[(5, 3), (9, 3), (1, 3)]], view=view(), seed=1)
    for changed in (next_step, next_seed):
        assert torch.equal(changed.pixels, one.pixels)
        assert all(not torch.equal(x, y) for x, y in zip(changed.views, one.views, strict=True))
    assert not torch.equal(*one.views)


def test_any_draws_from_all_captions_of_an_image(scenes, small, table) -> None:
    pairs = captioned(table, "train", captions="any")
    found = loaded(scenes, small, pairs, [[(2, step) for step in range(60)]])[0].ids
    said = small.tokenize(pairs.captions[2])[0]
    drawn = [int((said == row).all(dim=1).nonzero()[0, 0]) for row in found]
    counts = np.bincount(drawn, minlength=5)
    assert (counts >= 4).all()  # of 60 draws from 5


def test_an_image_that_changed_is_an_error(scenes, small, table) -> None:
    pairs = captioned(table.assign(digest=manifest.text_digest("other")), "train")
    with pytest.raises(DatasetError, match="is not the file that the manifest was made from"):
        loaded(scenes, small, pairs, [[(0, 0)]])
