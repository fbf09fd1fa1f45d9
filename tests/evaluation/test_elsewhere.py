"""Corrections fitted on other datasets, together too, and on files of features or means."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from crossgap.corrections import FITTED, Material, centering, fitted, ridge, whitening
from crossgap.errors import CrossgapError, UnavailableError
from crossgap.evaluation import Cell, elsewhere, mixed
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.options import MixedSearch
from crossgap.evaluation.work import Work
from crossgap.importing.files import FeatureImportError
from crossgap.metrics.retrieval import retrieval_metrics
from tests.evaluation.small import DIM, TEST, captions, groups, images, write
from tests.rows import unit

FEW = MixedSearch(shares=[0], alphas=[], draws=1)


def other(folder, name: str, count: int, **more: dict) -> tuple[dict, Cell]:
    """A dataset of images and captions, test alone."""
    of = images(name, count)
    held = {"image/test": of, "text/test": captions(of), **more}
    return of, Cell(write(folder / f"{name}.zip", held), None, None, "test", "test")


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def of_file(name: str, path, **keys: str) -> elsewhere.Elsewhere:
    files = {modality: f"{path}:{key}" for modality, key in keys.items()}
    return elsewhere.of_files(name, files, dict.fromkeys(files, digest(path)))


def test_features_of_other_weights_under_one_name_are_no_place_to_fit_on(tmp_path) -> None:
    stores = [
        write(tmp_path / f"{name}.zip", groups(), {"backbone_provenance": {"weights_sha256": weights}})
        for name, weights in {"here": "1", "there": "1", "other": "2"}.items()
    ]
    elsewhere.require_same_weights(*stores[:2])
    with pytest.raises(
        CrossgapError, match=r"here\.zip was made with weights 1, and .*other\.zip with 2: give"
    ):
        elsewhere.require_same_weights(stores[0], stores[2])


def test_concept_names_that_datasets_share_count_once() -> None:
    """Of several datasets with one list of subjects and of styles, BASIC is that of the list."""
    rng = np.random.default_rng(0)
    names, more, styles = rng.normal(size=(20, DIM)), rng.normal(size=(5, DIM)), rng.normal(size=(6, DIM))
    held = [
        Material(
            images=rng.normal(size=(9, DIM)), texts=rng.normal(size=(9, DIM)), vocabulary=of, styles=styles
        )
        for of in (names, np.concatenate([names, more]))
    ]
    both = elsewhere.others(
        [elsewhere.Elsewhere(str(n), n, lambda one=one: one) for n, one in enumerate(held)]
    )
    np.testing.assert_array_equal(both.material.vocabulary, np.concatenate([names, more]))
    np.testing.assert_array_equal(both.material.styles, styles)
    here = rng.normal(size=(3, DIM))
    own = Material(texts=here, vocabulary=here, vocabulary_photo=here, styles=here, pairs=(here, here))
    assert both.over(own, DIM).styles is both.material.styles
    without = elsewhere.Elsewhere("files", 0, lambda: Material(images=held[0].images)).over(own, DIM)
    assert without.images is held[0].images and without.texts is here
    assert without.vocabulary is without.vocabulary_photo is without.styles is without.pairs is None


def test_other_datasets_one_by_one_and_together(native, tmp_path):
    first, cell = other(tmp_path, "first", 12)
    second, beside = other(tmp_path, "second", 9)
    places = [elsewhere.of_dataset("first", cell), elsewhere.of_dataset("second", beside)]
    work = Work(Cell(native, None, None, "test", "test"))
    rivals = Rivals(work, ["centering", "whitening", "ridge", "nnn"], [*places, elsewhere.others(places)])
    both = [np.concatenate([one["features"], two["features"]]) for one, two in (
        (first, second), (captions(first), captions(second))
    )]  # fmt: skip
    for name, sides in (("first", (first["features"], captions(first)["features"])), ("others", both)):
        asked = [work.cell.items("image/test"), work.cell.items("text/test")]
        for rival, module in (("centering", centering), ("whitening", whitening)):
            expected = module.fit(*sides)
            found = rivals.pair(f"{rival}@{name}", "image-text", *asked)
            for items, modality, of in zip(found, ("image", "text"), asked, strict=True):
                np.testing.assert_allclose(
                    items.features, expected.apply(of.features, modality), rtol=1e-5, atol=1e-6
                )
        pairs = np.repeat(sides[0], 2, axis=0), sides[1]  # two captions an image, in the images' order
        np.testing.assert_allclose(
            rivals.correction(f"ridge@{name}").apply(asked[0].features, "image"),
            ridge.fit(*pairs).apply(asked[0].features, "image"),
        )
    table = rivals.table().set_index("name")
    assert table.loc["centering@first", "title"] == "Modality centring (fitted on first)"
    assert table.loc["centering@first", "fitted_on"] == "first: 12 images, 24 texts"
    assert table.loc["whitening@others", "fitted_on"] == "others: 21 images, 42 texts"
    assert table.loc["centering", "fitted_on"] == "own items"
    assert not [name for name in table.index if name.startswith("nnn") and "@" in name]
    assert rivals.fit_of("centering@first") != rivals.fit_of("centering@second") != rivals.fit_of("centering")


def test_a_published_mean_and_own_texts(native, tmp_path):
    mean = unit(images("far", 20)["features"]).mean(axis=0)
    np.savez(tmp_path / "means.npz", image_mean=mean, other=np.ones((1, 8)))
    place = of_file("splice", tmp_path / "means.npz", image="image_mean")
    work = Work(Cell(native, None, None, "test", "test"))
    rivals = Rivals(work, ["centering", "whitening"], [place])
    assert rivals.variants == ["centering", "whitening", "centering@splice"]
    assert (
        rivals.table().set_index("name").loc["centering@splice", "fitted_on"]
        == "splice: image mean, own texts"
    )
    queries, gallery = work.cell.items("image/test"), work.cell.items("text/test")
    found, against = rivals.pair("centering@splice", "image-text", queries, gallery)
    np.testing.assert_allclose(found.features, unit(queries.features) - mean, rtol=1e-5, atol=1e-6)
    own = unit(captions(TEST)["features"])
    np.testing.assert_allclose(against.features, own - own.mean(axis=0), rtol=1e-5, atol=1e-6)
    # by role: the texts that ask have a mean of their own
    asked = mixed.searched(work, Rivals(work, ["centering"], [place]), FEW)
    asking, documents = (own[rank::2] - own[rank::2].mean(axis=0) for rank in (0, 1))
    scores = unit(asking) @ unit(documents).T
    expected = (scores > np.diag(scores)[:, None]).sum(axis=1) + 1
    assert asked[asked["task"] == "search+centering@splice"]["rank"].tolist() == expected.tolist()


def test_a_mean_beside_features_leaves_all_that_can_be_fitted_on_features(tmp_path):
    np.savez(tmp_path / "x.npz", mean=np.full(8, 0.1), rows=np.eye(8))
    assert of_file("x", tmp_path / "x.npz", image="mean", text="rows").rivals == FITTED
    assert of_file("x", tmp_path / "x.npz", image="mean", text="mean").rivals == ("centering",)


def test_what_cannot_be_fitted_is_a_row_that_says_why(native, tmp_path):
    np.savez(tmp_path / "x.npz", wide=np.full(9, 0.1), long=np.full(8, 1.0), rows=np.ones((3, 9)))
    asked = {key: of_file(key, tmp_path / "x.npz", image=key) for key in ("wide", "long", "rows")}
    rivals = Rivals(
        Work(Cell(native, None, None, "test", "test")), ["centering", "pca_plus"], [*asked.values()]
    )
    why = rivals.table().set_index("name")["reason"]
    assert "image mean of width 9, and the features here have 8" in why["centering@wide"]
    assert "at most 1 long" in why["centering@long"]
    assert "images of width 9" in why["centering@rows"] and "images of width 9" in why["pca_plus@rows"]
    assert rivals.variants == ["centering", "pca_plus"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((2, 8), np.nan), "NaN"),
        (np.zeros(8), "row of zeros"),
        (np.ones((2, 2, 2)), "give features"),
        (np.array(["a"]), "give features"),
    ],
)
def test_a_file_that_holds_neither(tmp_path, values, message):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(FeatureImportError, match=message):
        elsewhere.read("image", str(tmp_path / "x.npy"))


def test_the_one_row_of_a_file_is_a_mean(tmp_path):
    for name, values in (
        ("row", np.full((1, 8), 0.1)),
        ("mean", np.full(8, 0.1)),
        ("rows", np.full((2, 8), 0.1)),
    ):
        np.save(tmp_path / f"{name}.npy", values)
        assert elsewhere.read("image", str(tmp_path / f"{name}.npy")).ndim == 1 + (name == "rows")


def test_a_file_that_changed_or_is_gone(tmp_path):
    np.save(tmp_path / "x.npy", np.full(8, 0.1))
    with pytest.raises(FeatureImportError, match="has changed since"):
        elsewhere.of_files("x", {"image": str(tmp_path / "x.npy")}, {"image": "another"})
    with pytest.raises(FeatureImportError, match="no such file"):
        elsewhere.of_files("x", {"image": str(tmp_path / "y.npy")}, {"image": ""})


def test_a_file_that_changes_between_a_run_s_start_and_a_fit(tmp_path):
    """A fit comes hours later in a large evaluation, and would go by the digest of the file before."""
    file = tmp_path / "x.npy"
    np.save(file, np.eye(8))
    held = {of: elsewhere.of_files("x", {"image": str(file)}, {"image": digest(file)}) for of in "ab"}
    kept = held["a"].material.images
    content = bytearray(file.read_bytes())
    content[-8:] = np.float64(2).tobytes()
    file.write_bytes(content)
    with pytest.raises(FeatureImportError, match=r"x\.npy has changed since .*`dvc repro -f -s resolve`"):
        _ = held["b"].material
    np.testing.assert_array_equal(kept, np.eye(8))


def test_no_mean_without_a_map_and_no_items():
    """A mean of either side alone leaves the other without a map where there are no items."""
    held = replace(Material(), means={"image": np.full(4, 0.2)})
    (found,) = fitted(held, ["centering"])[0].values()
    assert set(found.maps) == {"image"}
    with pytest.raises(UnavailableError):
        next(centering.fits(Material()))


@pytest.fixture(scope="module")
def splice(real):
    path = real / "means" / "clip_ViT-B-32_image.npz"
    return of_file("splice", path, image="image_mean")


# ../shared/real/values.md: mAP of test queries in val, natively and less the published mean of images
@pytest.mark.parametrize(
    ("name", "raw", "centred"),
    [
        ("dtd", 28.9659, 30.0516),
        ("oxford_flowers", 62.5184, 63.5891),
        pytest.param("fgvc_aircraft", 14.2161, 14.2512, marks=pytest.mark.slow),
    ],
)
def test_real_image_retrieval(real, splice, tmp_path, name, raw, centred):
    held = np.load(real / "clip-vit-b32" / f"{name}.npz")
    stored = {
        f"image/{split}": {
            "id": [f"{split} {row}" for row in range(len(held[f"{split}_labels"]))],
            "features": held[f"{split}_features"],
            "label.class": [str(label) for label in held[f"{split}_labels"]],
        }
        for split in ("test", "val")
    }
    work = Work(Cell(write(tmp_path / "x.zip", stored), None, None, "test", "val"))
    rivals = Rivals(work, ["centering"], [splice])
    queries, gallery = work.cell.items("image/test"), work.cell.items("image/val")
    for pair, value in (
        ((queries, gallery), raw),
        (rivals.pair("centering@splice", "image-image", queries, gallery), centred),
    ):
        classes = (items.labels["class"] for items in pair)
        ap = retrieval_metrics(*(items.features for items in pair), *classes)["ap"]
        assert 100 * ap.mean() == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "step", "mean", "distance", "text_image", "image_text"),
    [
        ("clip-vit-b16/coco_val2017_500", 1, "ViT-B-16", 0.1964, 50.80, 52.40),
        ("clip-vit-b32/flickr8k_100x5", 5, "ViT-B-32", 0.3241, 86.00, 77.00),
    ],
)
def test_real_pairs(real, tmp_path, name, step, mean, distance, text_image, image_text):
    """The mean of images from SpLiCE, that of texts the cell's own."""
    held = np.load(real / f"{name}.npz")
    images, texts = (held[f"{side}_features"][::step] for side in ("image", "text"))
    ids, zeros = [f"pair {row}" for row in range(len(images))], [0] * len(images)
    stored = {
        "image/test": {"id": ids, "group": ids, "rank": zeros, "features": images},
        "text/test": {"id": [f"text {i}" for i in ids], "group": ids, "rank": zeros, "features": texts},
    }
    place = of_file("splice", real / "means" / f"clip_{mean}_image.npz", image="image_mean")
    work = Work(Cell(write(tmp_path / "x.zip", stored), None, None, "test", "test"))
    rivals = Rivals(work, ["centering"], [place])
    pair = work.cell.items("image/test"), work.cell.items("text/test")
    images, texts = (unit(items.features) for items in rivals.pair("centering@splice", "image-text", *pair))
    assert np.linalg.norm(images.mean(axis=0) - texts.mean(axis=0)) == pytest.approx(distance, abs=5e-5)
    for one, two, value in ((texts, images, text_image), (images, texts, image_text)):
        scores = one @ two.T
        assert 100 * (scores.argmax(axis=1) == np.arange(len(ids))).mean() == pytest.approx(value)


# width and length of the published means; their cosine with the means of features that are here
MEANS = {
    "clip_RN50": (1024, 0.6217592358589172, {}),
    "clip_ViT-B-16": (
        512,
        0.7016327977180481,
        {("clip-vit-b16/coco_val2017_500", "image_features", 1): 0.9831},
    ),
    "clip_ViT-B-32": (
        512,
        0.6841620802879333,
        {
            ("clip-vit-b32/flickr8k_100x5", "image_features", 5): 0.9551,
            ("clip-vit-b32/flickr8k_100x5", "text_features", 1): 0.3113,
            ("clip-vit-b32/dtd", "test_features", 1): 0.8630,
        },
    ),
    "open_clip_ViT-B-32": (512, 0.5601161122322083, {}),
}


@pytest.mark.parametrize("name", MEANS)
def test_published_means(real, name):
    width, length, beside = MEANS[name]
    place = of_file("splice", real / "means" / f"{name}_image.npz", image="image_mean")
    mean = place.over(Material(), width).means["image"]
    assert mean.shape == (width,) and np.linalg.norm(mean) == pytest.approx(length, rel=1e-6)
    for (file, key, step), cosine in beside.items():
        own = unit(np.load(real / f"{file}.npz")[key][::step].astype(np.float64)).mean(axis=0)
        assert mean @ own / np.linalg.norm(mean) / np.linalg.norm(own) == pytest.approx(cosine, abs=6e-5)
