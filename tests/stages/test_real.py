"""Real features and real photos through the command, the store and the stages; skipped where they are absent."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from crossgap import open_store
from crossgap.cli import app

pytestmark = pytest.mark.slow

POINTS = 0.0002  # 0.02 percentage points
# ../shared/real/README.md: query test, gallery val; and test against itself, the query left out
PUBLISHED = {"dtd": (0.2897, 0.2781), "oxford_flowers": (0.6252, 0.6264), "fgvc_aircraft": (0.1422, 0.1404)}


@pytest.fixture(scope="module")
def evaluated(project, whole, real, tmp_path_factory) -> dict[str, dict[str, float]]:
    """The metrics of every set of features, by name, after one `dvc repro`."""
    arrays = written(real, tmp_path_factory.mktemp("arrays"))
    words, declared = {}, {}

    def bring(name: str, gallery: str, *given: str) -> None:
        words[name] = given
        retrieval = {"query": "test", "gallery": gallery}
        controls = {"published": name.removesuffix("-val")}
        encoded = {"backbone": "ViT-B/32 openai", "dataset": name}
        declared[name] = encoded | {"retrieval": retrieval, "controls": controls}

    b32 = real / "clip-vit-b32"
    for name in PUBLISHED:
        file = b32 / f"{name}.npz"
        test = (f"image/test={file}:test_features", f"image/test:label.class={file}:test_labels")
        val = (f"image/val={file}:val_features", f"image/val:label.class={file}:val_labels")
        # in the file's own lengths: PCA+ is fitted on the texts as they are stored
        vocabulary = f"text/vocabulary={b32}/imagenet_class_text.npz:prompt_set_1"
        bring(f"{name}-val", "val", *test, *val, vocabulary)
        bring(f"{name}-self", "test", *test)
    for number in (1, 2):
        bring(
            f"imagenet-{number}",
            "test",
            f"image/test={b32}/imagenet_1shot.npz:features",
            f"image/test:label.class={b32}/imagenet_1shot.npz:labels",
            f"text/classes={b32}/imagenet_class_text.npz:prompt_set_{number}",
            f"text/classes:label.class={arrays}/imagenet_classes.npy",
        )
    captioned = [
        f"image/test={arrays}/flickr_images.npz:features",
        f"image/test:id={arrays}/flickr_images.npz:ids",
        f"text/test={b32}/flickr8k_100x5.npz:text_features",
        f"text/test:group={b32}/flickr8k_100x5.npz:image_ids",
    ]
    bring("flickr8k", "test", *captioned)
    coco = real / "clip-vit-b16" / "coco_val2017_500.npz"
    bring(
        "coco",
        "test",
        f"image/test={coco}:image_features",
        f"image/test:id={arrays}/coco_ids.txt",
        f"text/test={coco}:text_features",
        f"text/test:group={arrays}/coco_ids.txt",
    )

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        for name, given in words.items():
            done = CliRunner().invoke(app, ["import", name, *given])
            assert done.exit_code == 0, done.output
    project.edit(imports=declared, run=project.run_of(imports=list(declared)))
    assert project.repro() == {
        "resolve",
        "weights",
        "report",
        *(f"evaluate-import@{name}" for name in declared),
    }
    return {name: project.metrics(f"imports/{name}") for name in declared}


def written(real: Path, folder: Path) -> Path:
    """What a user has to make of the archives: one row an image, ids of classes and of pairs."""
    pairs = np.load(real / "clip-vit-b32" / "flickr8k_100x5.npz")
    ids, first = np.unique(pairs["image_ids"], return_index=True)
    np.savez(folder / "flickr_images.npz", features=pairs["image_features"][first], ids=ids)
    np.save(folder / "imagenet_classes.npy", np.arange(1000))
    (folder / "coco_ids.txt").write_text("".join(f"pair {row}\n" for row in range(500)))
    return folder


@pytest.mark.parametrize("name", PUBLISHED)
def test_image_retrieval(evaluated, name):
    against_val, against_itself = PUBLISHED[name]
    assert evaluated[f"{name}-val"]["retrieval/image-image/class/mAP"] == pytest.approx(
        against_val, abs=POINTS
    )
    assert evaluated[f"{name}-self"]["retrieval/image-image/class/mAP"] == pytest.approx(
        against_itself, abs=POINTS
    )


CORRECTED = {  # the same, with PCA⁺ by 256 directions, and centred on the mean of the test images
    "dtd": (0.3491, 0.3253),
    "oxford_flowers": (0.7042, 0.6587),
    "fgvc_aircraft": (0.1577, 0.1506),
}


@pytest.mark.parametrize("name", CORRECTED)
def test_corrected_image_retrieval_and_its_significance(evaluated, project, name):
    found = evaluated[f"{name}-val"]
    for correction, value in zip(("pca_plus", "centering"), CORRECTED[name], strict=True):
        assert found[f"retrieval/image-image+{correction}/class/mAP"] == pytest.approx(value, abs=0.0005)
    folder = project / f"data/metrics/imports/{name}-val/tables"
    table = pd.read_csv(folder / "comparisons.csv").set_index("task")
    better = table.loc["image-image+pca_plus"]
    assert better["low"] > 0 and better["p_adjusted"] < 0.05
    assert better["low"] < CORRECTED[name][0] - PUBLISHED[name][0] < better["high"]
    absent = pd.read_csv(folder / "corrections.csv", keep_default_na=False).set_index("name")["reason"]
    assert absent["pca_plus"] == "" and absent["isoclip"] and absent["ridge"]


PROBES = {  # ../shared/real/values.md, C: class means, GDA, 1 and 5 neighbours, the first 4 images by means and by GDA
    "dtd": ((63.30, 69.50, 59.57, 60.64, 50.47, 53.55), (65.66, 69.27, 62.65, 62.59, 54.37, 54.55)),
    "oxford_flowers": ((92.73, 96.51, 89.12, 89.48, 85.95, 90.82), (93.59, 96.14, 92.04, 92.41, 88.27, 90.58)),
    "fgvc_aircraft": ((36.60, 47.67, 34.38, 36.66, 24.03, 28.44), (37.35, 45.99, 37.83, 38.52, 26.13, 27.99)),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBES)
def test_probes_and_what_pca_plus_gains_with_them(evaluated, project, name):
    tasks = ("ncm", "gda", "knn_1", "knn_5", "first-4", "first-4-gda")
    for ending, values in zip(("", "+pca_plus"), PROBES[name], strict=True):
        for task, value in zip(tasks, values, strict=True):
            accuracy = evaluated[f"{name}-val"][f"classification/{task}{ending}/class/accuracy"]
            assert 100 * accuracy == pytest.approx(value, abs=0.006), task + ending
    table = pd.read_csv(project / f"data/metrics/imports/{name}-val/tables/comparisons.csv").set_index("task")
    assert table.loc["ncm+pca_plus", "difference"] > 0 > table.loc["gda+pca_plus", "difference"]
    assert table.loc["gda", "baseline"] == "ncm" and table.loc["gda", "p_adjusted"] < 0.05


def test_zero_shot(evaluated):
    task = "classification/image-text/class/accuracy"
    assert evaluated["imagenet-1"][task] == pytest.approx(0.606, abs=POINTS)
    assert evaluated["imagenet-2"][task] == pytest.approx(0.611, abs=POINTS)


def test_cross_modal_and_text_retrieval(evaluated):
    found = evaluated["flickr8k"]
    assert (found["items/image/test"], found["items/text/test"]) == (100, 500)
    assert found["retrieval/text-image/group/recall@1"] == pytest.approx(0.832, abs=POINTS)
    assert found["retrieval/image-text/group/recall@1"] == pytest.approx(0.930, abs=POINTS)
    assert found["retrieval/text-text/group/mAP"] == pytest.approx(0.7133, abs=POINTS)


def test_gap(evaluated):
    measured = {
        "centroid_distance": 0.851,
        "alignment": 1.380,
        "uniformity_image": -1.795,
        "uniformity_text": -1.841,
    }
    for name, value in measured.items():
        assert evaluated["coco"][f"gap/{name}"] == pytest.approx(value, abs=0.002)


def test_report_has_every_import(evaluated, project, page_text):
    page = page_text(project / "data/report/index.html")
    for name in evaluated:
        assert name in page
    assert "28.97" in page and "28.30" in page  # measured beside published
    assert "published: query test, gallery train; here: query test, gallery val" in page


def photos(real: Path, **more: object) -> dict:
    folder = real / "flickr8k"
    declared = {
        "layout": "captions",
        "root": str(folder / "images.tar"),
        "captions": str(folder / "captions.txt"),
    }
    return {**declared, "retrieval": {"query": "test", "gallery": "test"}, **more}


def run_all(project, backbone: str, dataset: str) -> dict[str, float]:
    cells = {"backbones": [backbone], "datasets": [dataset]}
    project.edit(run=project.run_of(**cells, oti=cells, ovi=cells))
    cell = {f"{stage}@{backbone}-{dataset}" for stage in ("encode", "oti", "ovi", "evaluate")}
    cell.add("weights")
    assert project.repro() == {"resolve", f"prepare@{dataset}", *cell, "report"}
    return project.metrics(f"{backbone}/{dataset}")


def pixels(real: Path, name: str) -> Image.Image:
    with tarfile.open(real / "flickr8k" / "images.tar") as archive:
        return Image.open(io.BytesIO(archive.extractfile(f"{name}.jpg").read())).convert("RGB")


def test_all_photos_through_all_stages(project, real):
    """1000 photos, 5000 captions; and the rows are those of open_clip for the photos they name."""
    import open_clip

    project.edit(
        **{"datasets.flickr8k": photos(real), "machine.batch_size": 128, "machine.inversion_batch_size": 500}
    )
    found = run_all(project, "nano", "flickr8k")
    assert (found["items/image/test"], found["items/text/test"]) == (1000, 5000)
    assert 0 <= found["items/text/test/truncated"] < 5000
    assert (found["inversion/oti/items"], found["inversion/ovi/items"]) == (1000, 1000)
    for task in ("text-text", "ovi-text", "text-image", "image-text"):
        assert 0 < found[f"retrieval/{task}/group/mAP"] <= 1
    model, _, transform = open_clip.create_model_and_transforms(
        f"local-dir:{project / 'data/backbones/nano'}"
    )
    images = open_store(project / "data/features/nano/flickr8k/native.zarr.zip")["image/test"]
    for row in (0, 517, 999):
        with torch.no_grad():
            expected = model.eval().encode_image(transform(pixels(real, images.ids[row]))[None])[0]
        np.testing.assert_allclose(images.features[row], expected, atol=2e-5)


def test_true_size_model_from_a_checkpoint_file(project, real, tmp_path):
    """32 photos with two captions each through a ViT-B/32 of random weights, in float32."""
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32").eval()
    torch.save(model.state_dict(), tmp_path / "epoch_1.pt")
    rows = list(csv.reader((real / "flickr8k" / "captions.txt").read_text().splitlines()))
    table = pd.DataFrame(rows[1:], columns=rows[0])
    table[table.groupby("image").cumcount() < 2].to_csv(tmp_path / "captions.csv", index=False)

    weights = {"model": "ViT-B-32", "pretrained": str(tmp_path / "epoch_1.pt")}
    project.edit(
        **{
            "backbones.mine": {"weights": weights, "oti": {"tokens": 1}, "ovi": {"patches": 1}},
            "datasets.few": photos(real, captions=str(tmp_path / "captions.csv"), max_images=32),
        }
    )
    project.environment["OMP_NUM_THREADS"] = "2"
    found = run_all(project, "mine", "few")
    assert (found["items/image/test"], found["items/text/test"]) == (32, 64)
    assert (found["inversion/oti/items"], found["inversion/ovi/items"]) == (32, 32)
    assert "retrieval/ovi-text/group/mAP" in found

    store = open_store(project / "data/features/mine/few/native.zarr.zip")
    transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    images, texts = store["image/test"], store["text/test"]
    caption = table[table["image"] == f"{texts['group'][7]}.jpg"].iloc[texts["rank"][7]]["caption"].strip()
    with torch.no_grad():
        image = model.encode_image(transform(pixels(real, images.ids[5]))[None])[0]
        text = model.encode_text(open_clip.get_tokenizer("ViT-B-32")([caption]))[0]
    np.testing.assert_allclose(images.features[5], image, atol=1e-4)
    np.testing.assert_allclose(texts.features[7], text, atol=1e-4)
    for method, group in (("oti", "image/test"), ("ovi", "text/test")):
        inverted = open_store(project / f"data/features/mine/few/{method}.zarr.zip")[group]
        assert inverted.features.shape == (32, 512) and np.isfinite(inverted.tokens).all()
