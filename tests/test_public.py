"""The names promised to users of notebooks, as the README shows them."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import crossgap

HEAVY = ("torch", "open_clip", "torchvision", "timm", "sklearn", "zarr", "pandas", "matplotlib", "dvc")


def loaded_by(code: str) -> set[str]:
    """Heavy libraries that a fresh interpreter has imported after `code`."""
    lines = [code, "import sys", f"print(*[name for name in {HEAVY} if name in sys.modules])"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_crossgap_loads_nothing_heavy() -> None:
    assert loaded_by("import crossgap; dir(crossgap)") == set()


@pytest.mark.parametrize(
    "module",
    [
        "params", "prepared.manifest", "prepared.transformations", "stores.store", "stores.shards", "encode",
        "evaluation", "metrics.retrieval", "metrics.significance", "metrics.classification", "metrics.clustering",
        "metrics.gap", "metrics.arithmetic", "corrections", "losses", "presets",
        "catalogue.datasets",
    ],
)  # fmt: skip
def test_modules_that_run_no_model_load_neither_torch_nor_open_clip(module) -> None:
    heavy = loaded_by(f"import crossgap.{module}")
    assert not heavy & {"torch", "open_clip", "torchvision", "timm", "sklearn", "matplotlib"}


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    from typer.testing import CliRunner

    from crossgap.cli import app

    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.output) == (0, f"crossgap {version('crossgap')}\n")
    assert crossgap.__version__ == version("crossgap")


def test_the_extras_are_those_that_messages_name_and_dev_has_them_all() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = {
        name
        for file in (Path(__file__).parents[1] / "crossgap").rglob("*.py")
        for name in re.findall(r"crossgap\[(\w+)\]", file.read_text(encoding="utf-8"))
    }
    assert named <= extras.keys()
    (all_of_them,) = extras["dev"]
    assert set(all_of_them.removeprefix("crossgap[").removesuffix("]").split(",")) == extras.keys() - {"dev"}


SIGNATURES = {
    "load_backbone": "model, pretrained, device='cpu', precision='fp32'",
    "oti": "features, backbone, steps=150, tokens=1, template='a photo of {}', ids=None, seed=0",
    "ovi": "features, backbone, steps=1000, patches=1, ids=None, seed=0",
    "retrieval_metrics": "queries, gallery, query_labels, gallery_labels, exclude_self=False",
    "gap_metrics": "image_features, text_features",
    "open_store": "path",
}


@pytest.mark.parametrize(("name", "promised"), SIGNATURES.items())
def test_the_promised_arguments_come_first_with_their_defaults(name, promised) -> None:
    namespace: dict = {}
    exec(f"def promise({promised}): ...", namespace)
    expected = inspect.signature(namespace["promise"]).parameters
    found = list(inspect.signature(getattr(crossgap, name)).parameters.values())
    for parameter, (wanted, default) in zip(found, expected.items(), strict=False):
        assert parameter.name == wanted and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        if default.default is not default.empty:
            assert parameter.default == default.default
    assert len(found) >= len(expected)
    for parameter in found[len(expected) :]:
        if parameter.kind is parameter.VAR_KEYWORD:
            assert parameter.name in ("settings", "options"), "of a recipe, or of a file system"
        else:
            assert parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty


LOSSES = {
    "clip": "images, texts, temperature",
    "uniformity": "x",
    "cross_uniformity": "images, texts",
    "alignment": "images, texts",
}


@pytest.mark.parametrize(("name", "promised"), LOSSES.items())
def test_the_losses_take_what_is_promised(name, promised) -> None:
    assert ", ".join(inspect.signature(getattr(crossgap.losses, name)).parameters) == promised


CORRECTIONS = {
    "centering": "image_features, text_features=None",
    "standardisation": "image_features, text_features=None",
    "whitening": "image_features, text_features=None",
    "pca_plus": "text_features, keep=None",
    "text_span": "text_features, keep=None",
    "isoclip": "image_weight, text_weight, images=None, texts=None",
    "pseudo_inverse": "text_weight, tolerance=0.3",
    "ridge": "image_features, text_features, penalty=None",
}


@pytest.mark.parametrize(("name", "promised"), CORRECTIONS.items())
def test_corrections_are_found_under_the_package_with_their_arguments(name, promised) -> None:
    found = inspect.signature(getattr(crossgap.corrections, name).fit).parameters.values()
    shown = [
        parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default}"
        for parameter in found
    ]
    assert ", ".join(shown).startswith(promised)


def test_names_are_listed_and_others_refused() -> None:
    assert set(SIGNATURES) <= set(crossgap.__all__) <= set(dir(crossgap))
    with pytest.raises(AttributeError, match="'crossgap' has no attribute 'nothing'"):
        crossgap.nothing  # noqa: B018


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_the_promised_names_work_together(tiny_folder, kind, tmp_path) -> None:
    backbone = crossgap.load_backbone(f"local-dir:{tiny_folder}", None, device="cpu", precision="fp32")
    pixels = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = kind(backbone.encode_images(pixels).features.numpy())
    texts = kind(backbone.encode_texts(backbone.tokenize(list("abcdef"))[0]).features.numpy())
    labels = ["x", "y", "x", "y", "x", "y"]

    turned = crossgap.oti(
        images, backbone, steps=2, tokens=2, template="a {} photo", ids=list("abcdef"), seed=1
    )
    assert turned.tokens.shape == (6, 2, 32) and turned.features.shape == (6, 24)
    assert turned.losses.shape == (6,)
    pictured = crossgap.ovi(texts, backbone, steps=2, patches=4, seed=1)
    assert pictured.tokens.shape == (6, 4, 48) and pictured.features.shape == (6, 24)

    table = crossgap.retrieval_metrics(turned.features, images, labels, labels, exclude_self=True)
    assert isinstance(table, pd.DataFrame) and len(table) == 6
    assert {"ap", "ap_at_r", "r_precision", "recall@1", "recall@5", "recall@10"} <= set(table)
    assert table[["ap", "recall@1"]].stack().between(0, 1).all()
    gap = crossgap.gap_metrics(images, texts)
    names = [
        "centroid_distance", "linear_separability", "uniformity_image", "uniformity_text", "effective_rank_image",
        "effective_rank_text", "alignment", "matching_distance", "cross_uniformity", "relative_modality_gap",
    ]  # fmt: skip
    assert list(gap) == names and all(type(value) is float for value in gap.values())


def test_what_is_no_backbone_is_told_wherever_one_is_asked(tiny) -> None:
    features = np.eye(3, dtype=np.float32)
    given = {
        "'nano'": "nano", "a CLIP": tiny.model, "a tuple": (tiny.model, None), "a Linear": torch.nn.Linear(2, 2),
        "a NoneType": None,
    }  # fmt: skip
    for words, backbone in given.items():
        for call in (crossgap.oti, crossgap.ovi, crossgap.distil, crossgap.load_distilled):
            with pytest.raises(TypeError, match=f"^backbone is {words}: give one of crossgap.load_backbone$"):
                call(features, backbone)


def test_one_text_or_one_name_is_no_list_of_letters(tiny) -> None:
    with pytest.raises(TypeError, match=r"^texts is 'a cat': give a list of texts$"):
        tiny.tokenize("a cat")
    for ids in ("abc", 5):
        with pytest.raises(TypeError, match=rf"^ids is {ids!r}: give one label an item, `\(n,\)`$"):
            crossgap.oti(np.eye(3, tiny.dim, dtype=np.float32), tiny, ids=ids)


def test_a_model_is_loaded_by_its_name_or_path(tiny, tiny_folder) -> None:
    for words, asked in {"a CLIP": (tiny.model, None), "a NoneType": (None, None)}.items():
        with pytest.raises(
            crossgap.backbones.BackboneError, match=f"^model is {words}: give a name or a path$"
        ):
            crossgap.load_backbone(*asked)
    with pytest.raises(
        crossgap.backbones.BackboneError, match=r"^pretrained is a dict: give a name or a path$"
    ):
        crossgap.load_backbone("ViT-B-32", dict(tiny.model.state_dict()))
    loaded = crossgap.load_backbone(f"local-dir:{tiny_folder}", device=torch.device("cpu"))
    assert loaded.device == torch.device("cpu")
