"""The gap after each block, against what a hook sees of the whole towers, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from crossgap.backbones import Backbone, depths
from crossgap.cli import app
from crossgap.datasets.declared import World
from crossgap.datasets.preparing import prepare
from crossgap.encode import Images
from crossgap.errors import BackboneError, DatasetError
from crossgap.layerwise import layerwise, pairs
from crossgap.metrics.gap import gap_metrics
from crossgap.prepared import manifest


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[pd.DataFrame, Path]:
    folder = tmp_path_factory.mktemp("world")
    declared = World(
        layout="world", images={"train": 2, "test": 9}, retrieval={"query": "test", "gallery": "test"}
    )
    items = prepare(declared, folder).items
    manifest.write(items, folder)
    return items, folder


@pytest.fixture(scope="module")
def seen(tiny, world) -> dict[str, list[np.ndarray]]:
    """By modality, what each block gives in a whole pass, pooled, normed and projected by hand."""
    items, root = world
    images, texts = pairs(items, "test", 500)
    model, states = tiny.model, {"image": [], "text": []}
    loader, ids = Images(images, root, tiny.transform), tiny.tokenize(texts["text"].tolist())[0]
    stacks = {"image": model.visual.transformer.resblocks, "text": model.transformer.resblocks}
    hooks = [
        block.register_forward_hook(lambda _module, _inputs, output, of=of: states[of].append(output))
        for of, stack in stacks.items()
        for block in stack
    ]
    with torch.no_grad():
        model.encode_image(torch.stack([loader[row] for row in range(len(images))]))
        model.encode_text(ids)
        for hook in hooks:
            hook.remove()
        last = ids.argmax(dim=1)
        return {
            "image": [(model.visual.ln_post(x[:, 0]) @ model.visual.proj).numpy() for x in states["image"]],
            "text": [
                (model.ln_final(x[torch.arange(len(x)), last]) @ model.text_projection).numpy()
                for x in states["text"]
            ],
        }


def test_a_tower_that_ends_early_gives_what_its_block_gives(tiny, world, seen) -> None:
    table = layerwise(*world, tiny, "test", batch_size=4)
    assert table[["image_block", "text_block"]].to_numpy().tolist() == [[1, 1], [2, 2]]
    for row, image, text in zip(table.to_dict("records"), seen["image"], seen["text"], strict=True):
        for measure, value in gap_metrics(image, text).items():
            assert row[measure] == pytest.approx(value, rel=1e-4, abs=1e-5), measure
    assert abs(table["alignment"].diff().iloc[1]) > 1e-3
    assert [depths.depth(tiny, of) for of in ("image", "text")] == [2, 2], "all blocks are back"


def test_the_pairs_are_images_with_their_first_caption(world) -> None:
    items, _ = world
    images, texts = pairs(items, "test", 500)
    assert len(images) == 9 and (texts["rank"] == 0).all()
    assert images["id"].tolist() == texts["group"].tolist() == sorted(images["id"])
    some = pairs(items, "test", 3)[0]["id"].tolist()
    assert some == [images["id"][row] for row in (0, 4, 8)]
    with pytest.raises(
        DatasetError, match=r"split 'classes' has 0 captioned images, .*: name another split, test, train$"
    ):
        pairs(items, "classes", 500)
    with pytest.raises(
        DatasetError, match=r"split 'test' has 0 captioned images, .*: name a dataset with captions"
    ):
        pairs(items[items["modality"] == "image"], "test", 500)


def made(vision: dict, text: dict) -> Backbone:
    model = open_clip.CLIP(
        8, {"image_size": 16, "patch_size": 8, "width": 8, "head_width": 4, **vision}, text
    )
    provenance = {"model": "ViT-B-32", "preprocessing": {}}
    return Backbone(model.eval(), lambda _: torch.zeros(3, 16, 16), None, torch.device("cpu"), provenance)


def test_of_towers_of_other_depths_the_deeper_counts() -> None:
    text = {"context_length": 4, "vocab_size": 10, "width": 8, "heads": 1, "layers": 2}
    backbone = made({"layers": 5}, text)
    assert [depths.depth(backbone, of) for of in ("image", "text")] == [5, 2]
    blocks = backbone.model.visual.transformer.resblocks
    with depths.ending_after(backbone, "image", 3):
        assert list(backbone.model.visual.transformer.resblocks) == list(blocks)[:3]
    for block in (0, 6):
        with (
            pytest.raises(ValueError, match=f"block {block} of the image tower: it has 1 to 5"),
            depths.ending_after(backbone, "image", block),
        ):
            pass
    convolutional = made({"layers": (1, 1, 1, 1), "image_size": 32, "patch_size": None}, text)
    with pytest.raises(BackboneError, match="ViT-B-32: the image tower has no transformer blocks"):
        depths.depth(convolutional, "image")
    assert depths.depth(convolutional, "text") == 2


def test_the_command(tiny_folder, world, seen, tmp_path, monkeypatch) -> None:
    items, root = world
    monkeypatch.chdir(tmp_path)
    run = CliRunner()

    def said(*words: str) -> str:
        return " ".join(run.invoke(app, ["layers", *words]).output.split())

    assert "backbone 'tiny': data/weights/tiny.json is not there; name it" in said("tiny", "world")
    weights = {"model": f"local-dir:{tiny_folder}", "pretrained": None, "files": {}}
    machine = {"roots": {"world": str(root)}, "device": "cpu", "batch_size": 8}
    for path, content in (("weights/tiny", weights), ("resolved/machine", machine)):
        file = tmp_path / f"data/{path}.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(content))
    assert "dataset 'world' is not prepared: name it in params.yaml under run" in said("tiny", "world")
    manifest.write(items, tmp_path / "data/datasets/world")
    assert "there is no folder nowhere" in said("tiny", "world", "--output", "nowhere/a.csv")
    done = run.invoke(app, ["layers", "tiny", "world", "--output", "layers.csv", "--count", "500"])
    assert done.exit_code == 0, done.output
    heading, *rows = done.output.splitlines()
    assert heading.startswith("image block  text block  centroid distance") and len(rows) == 2
    table = pd.read_csv("layers.csv")
    expected = gap_metrics(seen["image"][0], seen["text"][0])["centroid_distance"]
    assert table["centroid_distance"][0] == pytest.approx(expected, rel=1e-4)
    assert rows[0].split()[2] == f"{expected:.3f}"
    done = run.invoke(app, ["layers", "tiny", "world", "--json"])
    told = json.loads(done.stdout)
    assert [row["centroid_distance"] for row in told] == pytest.approx(table["centroid_distance"].tolist())
    assert [row["image_block"] for row in told] == table["image_block"].tolist() and len(told) == 2

    (tmp_path / "data/weights/tiny.json").write_text(
        json.dumps({**weights, "files": {"a": "of a run before"}})
    )
    assert "backbones.tiny.weights: a, open_clip_config.json" in said("tiny", "world"), (
        "not the run's weights"
    )
