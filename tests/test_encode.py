from __future__ import annotations

import dataclasses
import json
import shutil
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import open_clip
import pandas as pd
import pytest
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from crossgap import encode as encoding
from crossgap import fingerprint, load_backbone, open_store
from crossgap.backbones.batches import filled, rows_at_once
from crossgap.backbones.towers import local_files
from crossgap.datasets.image_files import list_images, read_bytes
from crossgap.encode import encode
from crossgap.errors import BackboneError, DatasetError
from crossgap.fingerprint import differing
from crossgap.prepared import manifest
from crossgap.training.bpe import write_merges

NANO = Path(__file__).parents[1] / "data/backbones/nano"
TEXTS = ["a red square", "a blue dog", "a red square", "one word too many " * 8, "ünïcode 🦊", "x"]


@pytest.fixture
def dataset(tmp_path) -> tuple[pd.DataFrame, object]:
    """Seven images, two of them of equal bytes, in two splits, their captions and two class prompts."""
    root = tmp_path / "images"
    root.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(7):
        name = f"ü{number}.png" if number % 2 else f"{number}.jpg"
        shape = (30 + 7 * number, 50, 3) if number != 3 else (40, 40)
        pixels = rng.integers(0, 256, shape, np.uint8)
        if number == 5:
            (root / name).write_bytes((root / rows[1]["path"]).read_bytes())
        else:
            Image.fromarray(pixels).save(root / name)
        rows.append(
            {
                "id": name,
                "modality": "image",
                "split": "test" if number % 3 else "train",
                "path": name,
                "text": None,
                "group": name,
                "rank": 0,
                "digest": fingerprint.of_content((root / name).read_bytes()),
                "label.class": ["cat", "dog", None][number % 3],
            }
        )
    for number, text in enumerate(TEXTS):
        common = {"id": f"caption {number}", "modality": "text", "split": "test", "path": None, "text": text}
        group = {"group": "ü1.png", "rank": number, "digest": manifest.text_digest(text), "label.class": None}
        rows.append(common | group)
    for name in ("cat", "dog"):
        text = f"a photo of a {name}"
        common = {"id": f"classes/class/{name}#0", "modality": "text", "split": "classes", "path": None}
        more = {"text": text, "group": None, "rank": 0, "digest": manifest.text_digest(text)}
        rows.append(common | more | {"label.class": name})
    return manifest.validate(pd.DataFrame(rows)), root


@pytest.fixture
def run(dataset, tiny, tmp_path):
    def run(backbone=tiny, frame=None, scratch="scratch", **more):
        frame = dataset[0] if frame is None else frame
        path = tmp_path / "native.zarr.zip"
        where = {"provenance": {"dataset": "here"}, "scratch": tmp_path / scratch}
        encode(frame, dataset[1], backbone, path, **where, **more)
        return open_store(path)

    return run


def expected(dataset, tiny_folder) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features and pre-projection features by id, one item at a time by open_clip's own functions."""
    frame, root = dataset
    name = f"local-dir:{tiny_folder}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    model, tokenizer, found = model.eval(), open_clip.get_tokenizer(name), {}
    visual, text_projection = model.visual.proj, model.text_projection
    for item in frame.itertuples():
        with torch.no_grad():
            if item.modality == "image":
                batch = transform(Image.open(root / item.path)).unsqueeze(0)
                features = model.encode_image(batch)
                model.visual.proj = None
                before = model.encode_image(batch)
                model.visual.proj = visual
            else:
                batch = tokenizer([item.text])
                features = model.encode_text(batch)
                model.text_projection = None
                before = model.encode_text(batch)
                model.text_projection = text_projection
        found[item.id] = features[0].numpy(), before[0].numpy()
    return found


def check(store, frame, wanted, **close) -> None:
    for (modality, split), items in frame.groupby(["modality", "split"]):
        group = store[f"{modality}/{split}"]
        assert group.ids.tolist() == items["id"].tolist()
        assert group.features.dtype == group.preprojection.dtype == np.float32
        for row, name in enumerate(group.ids):
            np.testing.assert_allclose(group.features[row], wanted[name][0], **close)
            np.testing.assert_allclose(group.preprojection[row], wanted[name][1], **close)


ROUNDING = {"rtol": 1e-4, "atol": 1e-5}


@pytest.mark.parametrize(
    ("batch_size", "shard_size", "workers"), [(256, 1024, 0), (1, 2, 0), (3, 2, 0), (2, 3, 2)]
)
def test_features_are_open_clips_own_however_the_work_is_cut(
    dataset, run, tiny_folder, batch_size, shard_size, workers
) -> None:
    store = run(batch_size=batch_size, shard_size=shard_size, workers=workers)
    assert store.groups == ["image/test", "image/train", "text/classes", "text/test"]
    check(store, dataset[0], expected(dataset, tiny_folder), **ROUNDING)


@pytest.mark.parametrize(
    ("model", "tag"), [("nano", None), ("ViT-B-32-quickgelu", "openai"), ("ViT-B-16-SigLIP", "webli")]
)
def test_an_image_is_transformed_as_by_open_clip_bit_by_bit(dataset, model, tag) -> None:
    if tag:
        published = open_clip.get_pretrained_cfg(model, tag)
        chosen = {name: published[name] for name in ("mean", "std", "resize_mode") if name in published}
        size = open_clip.get_model_config(model)["vision_cfg"]["image_size"]
        assert chosen["resize_mode"] == {"openai": "shortest", "webli": "squash"}[tag]
        transform = image_transform_v2(PreprocessCfg(size, **chosen), is_train=False)
    else:
        transform = load_backbone(f"local-dir:{NANO}").transform
        chosen = json.loads((NANO / "open_clip_config.json").read_text())["preprocess_cfg"]
        size = chosen.pop("size")
    frame, root = dataset
    items = manifest.select(frame, "image")
    own = image_transform_v2(PreprocessCfg(size, **chosen), is_train=False)
    images = encoding.Images(items, root, transform)
    for position, path in enumerate(items["path"]):
        plain = Image.open(root / path).convert("RGB")
        assert torch.equal(images[position], own(plain)) and images[position].shape == (3, size, size)


def test_real_photos_in_a_tar_are_transformed_bit_by_bit(real, tiny) -> None:
    root = real / "flickr8k"
    rows = [
        {"path": path, "digest": fingerprint.of_content(read_bytes(root, path))}
        for path in list_images(root)[::50]
    ]
    images = encoding.Images(pd.DataFrame(rows), root, tiny.transform)
    with tarfile.open(root / "images.tar") as tar:
        for position, row in enumerate(rows):
            with Image.open(tar.extractfile(row["path"].removeprefix("images.tar/"))) as plain:
                assert torch.equal(images[position], tiny.transform(plain))
    assert len(rows) == 20


def test_columns_and_provenance_come_along(dataset, run, tiny) -> None:
    store = run()
    images, captions = store["image/test"], store["text/test"]
    assert images["group"].tolist() == images.ids.tolist()
    assert images.labels["class"].tolist() == ["dog", "", "dog", ""]
    assert captions["group"].tolist() == ["ü1.png"] * 6 and captions["rank"].tolist() == list(range(6))
    assert captions.labels == {} and "group" not in store["text/classes"]
    assert store["text/classes"].labels["class"].tolist() == ["cat", "dog"]
    assert store.provenance["backbone_provenance"] == tiny.provenance
    assert store.provenance["dataset"] == "here" and len(store.provenance["fingerprint"]) == 32


def test_captions_that_were_cut_are_marked(run) -> None:
    store = run(shard_size=4)
    assert store["text/test"]["truncated"].tolist() == [False, False, False, True, False, False]
    assert not store["text/classes"]["truncated"].any()
    assert "truncated" not in store["image/test"]


def test_equal_content_is_encoded_once(run, tiny, monkeypatch) -> None:
    seen = {"images": 0, "texts": 0}
    for name in seen:
        method = getattr(type(tiny), f"encode_{name}")

        def counting(self, batch, name=name, method=method):
            seen[name] += len(batch.unique(dim=0))  # a batch is filled up with its first row
            return method(self, batch)

        monkeypatch.setattr(type(tiny), f"encode_{name}", counting)
    store = run()
    assert seen == {"images": 6, "texts": 7}
    captions = store["text/test"].features
    assert np.array_equal(captions[0], captions[2]) and not np.array_equal(captions[0], captions[1])
    run()
    assert seen == {"images": 6, "texts": 7}


def test_a_grown_and_reordered_dataset_encodes_its_new_items_only(dataset, run, tiny, monkeypatch) -> None:
    frame, _ = dataset
    small = frame[~frame["id"].isin(["6.jpg", "caption 1"])].reset_index(drop=True)
    run(frame=small)
    seen = []
    monkeypatch.setattr(
        encoding,
        "decode",
        lambda path, content, decode=encoding.decode: (seen.append(path), decode(path, content))[1],
    )
    reordered = frame.iloc[::-1].reset_index(drop=True)
    grown = run(frame=reordered)
    assert seen == ["6.jpg"]
    fresh = run(frame=reordered, scratch="elsewhere")
    for name in fresh.groups:
        assert grown[name].ids.tolist() == fresh[name].ids.tolist()
        assert np.array_equal(grown[name].features, fresh[name].features)


def test_the_projections_lie_beside_the_features(run, tiny_folder) -> None:
    store = run()
    model = open_clip.create_model(f"local-dir:{tiny_folder}")
    pairs = {"image": (model.visual.proj, "image/test"), "text": (model.text_projection, "text/test")}
    assert set(store.projections) == set(pairs) and store.biases == {}
    for modality, (projection, name) in pairs.items():
        found, group = store.projections[modality], store[name]
        np.testing.assert_array_equal(found, projection.detach().numpy().T)
        np.testing.assert_allclose(group.preprojection @ found.T, group.features, **ROUNDING)


@pytest.fixture
def control(tmp_path):
    """An image-only backbone of random weights, and timm's model of it."""
    torch.manual_seed(0)
    model = timm.create_model("convnext_atto", num_classes=0).eval()
    torch.save(model.state_dict(), tmp_path / "control.pth")
    return load_backbone("timm:convnext_atto.d2_in1k", str(tmp_path / "control.pth")), model


def test_an_image_only_backbone_leaves_texts_out_and_says_so(dataset, run, control) -> None:
    (frame, root), (backbone, model) = dataset, control
    store = run(backbone=backbone)
    assert store.groups == ["image/test", "image/train"]
    assert store.provenance["texts_left_out"] == len(TEXTS) + 2
    assert store.projections == {} and "preprojection" not in store["image/test"]
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    paths = frame.set_index("id")["path"]
    for name in store.groups:
        group = store[name]
        for row, item in enumerate(group.ids):
            with torch.no_grad():
                image = Image.open(root / paths[item]).convert("RGB")
                expected = model(transform(image).unsqueeze(0))[0]
            np.testing.assert_allclose(group.features[row], expected, rtol=1e-3, atol=1e-4)
    assert sum(len(store[name]) for name in store.groups) == 7


def test_texts_that_an_image_only_backbone_leaves_out_change_nothing(dataset, run, control) -> None:
    frame, backbone = dataset[0], control[0]
    one = run(backbone=backbone).provenance
    images = frame[frame["modality"] == "image"].reset_index(drop=True)
    alone = run(backbone=backbone, frame=images).provenance
    assert alone["fingerprint"] == one["fingerprint"] and "texts_left_out" not in alone
    texts = run(backbone=backbone, frame=frame[frame["modality"] == "text"].reset_index(drop=True))
    assert texts.groups == [] and texts.provenance["texts_left_out"] == len(TEXTS) + 2


def test_another_run_gives_the_same_bytes(run, tmp_path) -> None:
    run()
    before = (tmp_path / "native.zarr.zip").read_bytes()
    run(scratch="elsewhere")
    assert (tmp_path / "native.zarr.zip").read_bytes() == before


def test_the_fingerprint_is_of_what_was_encoded_by_what(dataset, run, tiny_folder) -> None:
    frame, _ = dataset
    one = run().provenance["fingerprint"]
    assert run(batch_size=1, scratch="b").provenance["fingerprint"] == one
    assert run(frame=frame.iloc[1:].reset_index(drop=True)).provenance["fingerprint"] != one
    changed = frame.assign(text=frame["text"].where(frame["text"] != "x", "y"))
    changed["digest"] = changed["digest"].where(changed["text"] != "y", manifest.text_digest("y"))
    assert run(frame=changed).provenance["fingerprint"] != one
    half = load_backbone(f"local-dir:{tiny_folder}", precision="bf16")
    assert run(backbone=half).provenance["fingerprint"] != one


@pytest.mark.parametrize("merges", ["merges.txt.gz", "words/merges.txt.gz"])
def test_the_same_weights_in_another_folder_s_files_are_another_backbone(
    run, tiny_folder, tmp_path, merges
) -> None:
    """The configuration counts the heads, and the merges are the tokenizer: neither is in the weights."""
    own = shutil.copytree(tiny_folder, tmp_path / "own")
    (own / merges).parent.mkdir(exist_ok=True)
    write_merges(own / merges, [("r", "e"), ("d", "o")])
    document = json.loads((own / "open_clip_config.json").read_text())
    vision, text = (document["model_cfg"][name] for name in ("vision_cfg", "text_cfg"))
    text["tokenizer_kwargs"] = {"bpe_path": merges}

    def texts_and_images(scratch: str) -> list[np.ndarray]:
        found = run(backbone=load_backbone(f"local-dir:{own}"), scratch=scratch)
        return [found[f"{modality}/test"].features for modality in ("text", "image")]

    def write() -> None:
        (own / "open_clip_config.json").write_text(json.dumps(document))

    write()
    first, noted = texts_and_images("scratch"), local_files(f"local-dir:{own}")
    write_merges(own / merges, [("d", "o"), ("r", "e")])
    assert differing(local_files(f"local-dir:{own}"), noted) == [merges]
    second = texts_and_images("scratch")
    np.testing.assert_array_equal(second[0], texts_and_images("fresh")[0])
    assert not np.array_equal(second[0], first[0])

    text["heads"], vision["head_width"] = 1, 24
    write()
    third, fresh = texts_and_images("scratch"), texts_and_images("fresh")
    for found, alone, before in zip(third, fresh, second, strict=True):
        np.testing.assert_array_equal(found, alone)
        assert not np.array_equal(found, before)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_changed_is_an_error_that_names_it(dataset, run, tmp_path, workers) -> None:
    run()
    before = (tmp_path / "native.zarr.zip").read_bytes()
    Image.new("RGB", (9, 9)).save(dataset[1] / "4.jpg")
    with pytest.raises(DatasetError, match=r"4\.jpg is not the file.*revision"):
        run(scratch="elsewhere", workers=workers)
    assert (tmp_path / "native.zarr.zip").read_bytes() == before


def test_a_missing_image_is_an_error_that_names_it(dataset, run) -> None:
    (dataset[1] / "ü5.png").unlink()
    (dataset[1] / "ü1.png").unlink()
    with pytest.raises(ValueError, match=r"ü1\.png: no such file"):
        run()


def test_features_of_another_precision_are_close_and_never_mixed_in(dataset, run, tiny_folder) -> None:
    run()
    half = load_backbone(f"local-dir:{tiny_folder}", precision="bf16")
    store, wanted = run(backbone=half), expected(dataset, tiny_folder)
    for name in store.groups:
        group = store[name]
        assert group.features.dtype == np.float32
        for row, item in enumerate(group.ids):
            found, exact = group.features[row], wanted[item][0]
            cosine = found @ exact / np.linalg.norm(found) / np.linalg.norm(exact)
            assert 1 - cosine < 0.01 and not np.array_equal(found, exact)


def test_what_another_backbone_or_other_code_encoded_is_not_taken_up(run, tiny_folder, monkeypatch) -> None:
    """All share one folder of shards."""
    whole = {name: run()[name].features for name in run().groups}
    half = load_backbone(f"local-dir:{tiny_folder}", precision="bf16")
    alone, store = run(backbone=half, scratch="elsewhere"), run(backbone=half)
    for name, features in whole.items():
        assert np.array_equal(store[name].features, alone[name].features)
        assert not np.array_equal(store[name].features, features)
    monkeypatch.setattr(
        encoding, "_arrays", lambda parts, count: {"features": np.ones((count, 4), np.float32)}
    )
    assert np.array_equal(run()["image/test"].features, whole["image/test"])
    assert (run(code="other")["image/test"].features == 1).all()


def test_a_tokenizer_that_cannot_be_had_is_told_before_any_image_is_encoded(run, tiny, monkeypatch) -> None:
    def load_tokenizer():
        raise BackboneError("no tokenizer")

    encoded = []
    monkeypatch.setattr(encoding, "_images", lambda *_words: encoded.append)
    with pytest.raises(BackboneError, match="no tokenizer"):
        run(dataclasses.replace(tiny, load_tokenizer=load_tokenizer))
    assert not encoded


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
@pytest.mark.parametrize(
    ("part", "named"), [("visual.proj", r"0\.jpg, ü1\.png, "), ("text_projection", "caption 0, ")]
)
def test_features_without_a_direction_are_named_and_not_written(
    run, tiny_folder, tmp_path, part, named, value
) -> None:
    backbone = load_backbone(f"local-dir:{tiny_folder}")
    backbone.model.get_parameter(part).data[:] = value
    with pytest.raises(
        BackboneError,
        match=rf"NaN, infinite or all zero in local-dir:.* \(fp32\): .*{named}.*get them again",
    ):
        run(backbone)
    assert not (tmp_path / "native.zarr.zip").exists()


def test_the_one_item_whose_features_are_not_finite_is_named_with_the_remedy(
    run, dataset, tiny_folder
) -> None:
    """The token of one word is infinite in half precision alone: the text with it is named, no other."""
    backbone = load_backbone(f"local-dir:{tiny_folder}", precision="bf16")
    (token,) = backbone.tokenizer.encode("fox")
    frame = dataset[0].copy()
    frame.loc[frame["id"] == "caption 1", "text"] = "a fox"
    frame["digest"] = [
        manifest.text_digest(row.text) if row.modality == "text" else row.digest for row in frame.itertuples()
    ]
    backbone.model.token_embedding.weight.data[token] = torch.inf
    with pytest.raises(
        BackboneError,
        match=r"features of 1 of \d+ items are .* \(bf16\): caption 1; the precision .* `precision: fp32` in params",
    ):
        run(backbone, manifest.validate(frame))


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> tuple[pd.DataFrame, Path]:
    """A hundred small images and as many texts of one to nine words."""
    root, rows = tmp_path_factory.mktemp("many"), []
    rng = np.random.default_rng(0)
    for number in range(100):
        name, text = f"{number}.png", " ".join(["word"] * (number % 9)) + f" {number}"
        Image.fromarray(rng.integers(0, 256, (20, 20 + number % 5, 3), np.uint8)).save(root / name)
        common = {"split": "test", "group": name, "rank": 0}
        digest = fingerprint.of_content((root / name).read_bytes())
        rows.append({"id": name, "modality": "image", "path": name, "text": None, "digest": digest} | common)
        digest = manifest.text_digest(text)
        rows.append({"id": text, "modality": "text", "path": None, "text": text, "digest": digest} | common)
    return manifest.validate(pd.DataFrame(rows)), root


def features_of(store) -> dict[str, np.ndarray]:
    """Both kinds of features by id."""
    groups = [store[name] for name in store.groups]
    return {
        name: np.concatenate([group.features[row], group.preprojection[row]])
        for group in groups
        for row, name in enumerate(group.ids)
    }


@pytest.fixture(scope="module", params=["tiny", "nano", "nano in bf16"])
def whole(request, many, tiny, tmp_path_factory):
    """A backbone, and all items' features from one run at a batch of 128."""
    backbone, folder = tiny, tmp_path_factory.mktemp("whole")
    if request.param != "tiny":
        precision = "bf16" if "bf16" in request.param else "fp32"
        backbone = load_backbone(f"local-dir:{NANO}", precision=precision)
    frame, root = many
    encode(frame, root, backbone, folder / "w.zip", provenance={}, scratch=folder / "s", batch_size=128)
    return backbone, features_of(open_store(folder / "w.zip"))


# a split of the work: what was encoded in earlier runs (an item's number, and the run that it was in), and the shards
RUNS = st.tuples(
    st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=9, unique=True), max_size=3),
    st.permutations(range(100)),
    st.integers(1, 100),
    st.sampled_from([1024, 33, 7, 1]),
    st.sampled_from([32, 128, 1000]),
)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RUNS)
def test_no_bit_depends_on_the_company_that_an_item_is_encoded_in(many, whole, split) -> None:
    earlier, order, count, shard_size, batch_size = split
    (frame, root), (backbone, wanted) = many, whole
    with TemporaryDirectory() as name:
        folder = Path(name)
        for numbers in [*earlier, order[:count]]:
            rows = [2 * number + kind for number in numbers for kind in (0, 1)]
            part = frame.iloc[rows].reset_index(drop=True)
            where = {"scratch": folder / "scratch", "provenance": {}}
            encode(
                part, root, backbone, folder / "n.zip", **where, batch_size=batch_size, shard_size=shard_size
            )
        found = features_of(open_store(folder / "n.zip"))
    assert len(found) == 2 * count
    assert all(np.array_equal(features, wanted[name]) for name, features in found.items())


@pytest.mark.parametrize("batch_size", [1, 5, 32])
def test_a_set_that_lost_and_gained_items_is_the_bytes_of_one_made_from_nothing(
    many, tiny, tmp_path, batch_size
) -> None:
    frame, root = many

    def run(rows, scratch):
        part = frame.iloc[rows].reset_index(drop=True)
        where = {"scratch": tmp_path / scratch, "provenance": {}, "batch_size": batch_size}
        encode(part, root, tiny, tmp_path / "n.zip", **where)
        return (tmp_path / "n.zip").read_bytes()

    before = run(range(192), "old")
    grown = run(range(5, 200), "old")
    assert grown == run(range(5, 200), "new") != before


def test_a_batch_is_filled_up_with_its_first_row_and_a_cpu_takes_few_at_once(monkeypatch) -> None:
    rows = torch.arange(6).reshape(3, 2)
    assert filled(rows, 5).tolist() == [[0, 1], [2, 3], [4, 5], [0, 1], [0, 1]]
    assert filled(rows, 3) is rows
    for threads, most in ((1, 32), (2, 32), (3, 33), (12, 36), (48, 48)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert rows_at_once(1000, torch.device("cpu")) == most
        assert rows_at_once(8, torch.device("cpu")) == 8
        assert rows_at_once(1000, torch.device("cuda")) == 1000
