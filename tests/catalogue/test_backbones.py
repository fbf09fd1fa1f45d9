"""The catalogue of backbones against the installed libraries, and the commands that list and check it."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from crossgap import load_backbone, open_store
from crossgap.backbones import BackboneError, declaring, image_only, towers
from crossgap.catalogue import backbone_check, entries
from crossgap.catalogue import backbones as catalogue
from crossgap.cli.backbones import app
from crossgap.corrections.isoclip import PUBLISHED
from crossgap.encode import encode
from crossgap.params.sections import BackboneSection
from crossgap.prepared import manifest

ROOT = Path(__file__).parents[2]
ROWS = entries.rows("backbones")
NANO = ROOT / "data" / "backbones" / "nano"


@pytest.fixture
def nano(monkeypatch) -> str:
    if not (NANO / "open_clip_model.safetensors").is_file():
        pytest.skip("data/backbones/nano is absent")
    monkeypatch.chdir(ROOT)
    return "local-dir:data/backbones/nano"


@pytest.mark.parametrize("name", ROWS)
def test_every_row_names_a_model_and_a_tag_that_the_libraries_have(name) -> None:
    weights = ROWS[name]["weights"]
    model, pretrained = weights["model"], weights.get("pretrained")
    if model.startswith("timm:"):
        image_only._check_names(model, model.removeprefix("timm:"), pretrained)
    elif not model.startswith("local-dir:"):
        declaring.check_name(model)
        if not model.startswith("SLIP-"):  # its weights are files
            declaring.check_tag(model, pretrained)
            tag = open_clip.get_pretrained_cfg(model, pretrained)
            uses = bool(open_clip.get_model_config(model).get("quick_gelu"))
            assert tag and uses == bool(tag.get("quick_gelu"))
    assert towers.modalities(model) == (("image",) if model.startswith("timm:") else ("image", "text"))


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_valid_and_has_its_facts(name) -> None:
    BackboneSection.model_validate(ROWS[name])
    known = catalogue.facts()[name]
    assert (
        known.title
        and known.licence
        and (name == "nano" or re.search(r"arXiv \d{4}\.\d{5}", known.reference))
    )


def test_openais_hashes_are_those_in_its_addresses() -> None:
    published = [known.published for known in catalogue.facts().values() if known.published]
    models = open_clip.list_pretrained_models_by_tag("openai")
    addresses = " ".join(open_clip.get_pretrained_url(model, "openai") for model in models)
    assert len(published) == 4
    for name, sha256 in [pair for held in published for pair in held.items()]:
        assert f"/{sha256}/{name}" in addresses


def test_published_cut_offs_of_isoclip_are_found_by_the_models_of_the_catalogue() -> None:
    named = {
        (row["weights"]["model"].removesuffix("-quickgelu"), row["weights"].get("pretrained"))
        for row in ROWS.values()
    }
    assert set(PUBLISHED) <= named


SIZES = {
    # as their cards have it; DINOv2's has 384 more, of the mask token, which timm leaves out
    "ViT-B-32": (151_277_313, 512, {"image": 768, "text": 512}, 77, (224, 224)),
    "ViT-L-14-336-quickgelu": (427_944_193, 768, {"image": 1024, "text": 768}, 77, (336, 336)),
    "SLIP-ViT-B-16": (None, 512, {"image": 768, "text": 512}, 77, (224, 224)),
    "timm:vit_small_patch14_dinov2.lvd142m": (22_056_192, 384, {}, None, (518, 518)),
}


@pytest.mark.parametrize("model", SIZES)
def test_sizes_are_read_from_a_model_without_weights(model) -> None:
    found = catalogue.described(model)
    parameters, *others = SIZES[model]
    assert [found.dim, found.widths, found.context, tuple(found.image_size)] == others
    assert parameters is None or found.parameters == parameters


@pytest.mark.parametrize("name", ROWS)
def test_the_sizes_in_the_catalogue_are_those_of_the_libraries_models(name, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    model = ROWS[name]["weights"]["model"]
    assert catalogue.facts()[name].sizes == catalogue.described(model) == catalogue.sizes(model)


@pytest.mark.parametrize("name", ROWS)
def test_places_on_the_hub_are_those_that_the_libraries_would_ask(name) -> None:
    model, pretrained = ROWS[name]["weights"]["model"], ROWS[name]["weights"].get("pretrained")
    repository, files = catalogue.on_the_hub(model, pretrained)
    if model.startswith("timm:"):
        config = timm.models.get_pretrained_cfg(model.removeprefix("timm:"))
        assert (repository, files) == (config.hf_hub_id, [config.hf_hub_filename or "model.safetensors"])
        return
    tag = open_clip.get_pretrained_cfg(model, pretrained) if pretrained else {}
    wanted, _, file = tag.get("hf_hub", "").rpartition("/")
    assert repository == (wanted or None)
    file = file or open_clip.pretrained.HF_WEIGHTS_NAME
    assert files == [*open_clip.pretrained._get_safe_alternatives(file), file]


def test_sizes_are_those_of_the_loaded_model(nano) -> None:
    found, backbone = catalogue.described(nano), load_backbone(nano)
    assert found.parameters == sum(tensor.numel() for tensor in backbone.model.parameters())
    assert (found.dim, found.context) == (backbone.dim, backbone.context_length)
    assert found.widths == {name: weight.shape[1] for name, weight in backbone.projections().items()}


def test_sizes_that_only_loading_can_tell_are_left_open(tmp_path) -> None:
    assert catalogue.described(f"local-dir:{tmp_path}") is catalogue.described("hf-hub:nobody/none") is None
    with pytest.raises(BackboneError, match="'ViT-B-33' is none of"):
        catalogue.described("ViT-B-33")


def into_the_cache(
    folder: Path, repository: str, file: str, content: bytes, called: str | None = None
) -> Path:
    """A file as the hub's own client keeps it: a link to a blob that has the file's hash for a name."""
    place = folder / f"models--{repository.replace('/', '--')}"
    for part in ("blobs", "refs", f"snapshots/{'f' * 40}"):
        (place / part).mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text("f" * 40)
    blob = place / "blobs" / (called or hashlib.sha256(content).hexdigest())
    blob.write_bytes(content)
    link = place / "snapshots" / ("f" * 40) / file
    link.symlink_to(blob)
    return link


def test_weights_in_the_local_cache_are_found_without_a_network(tmp_path) -> None:
    asked = ("ViT-B-32-quickgelu", "openai")
    assert catalogue.cached(*asked, str(tmp_path)) is None
    repository = "timm/vit_base_patch32_clip_224.openai"
    link = into_the_cache(tmp_path, repository, "open_clip_model.safetensors", b"weights")
    assert catalogue.cached(*asked, str(tmp_path)) == link
    assert "huggingface.co/timm/vit_base_patch32_clip_224.openai" in catalogue.where("x", *asked)
    dino = "timm:vit_base_patch14_dinov2.lvd142m"
    assert catalogue.cached(dino, None, str(tmp_path)) is None
    link = into_the_cache(tmp_path, "timm/vit_base_patch14_dinov2.lvd142m", "model.safetensors", b"other")
    assert catalogue.cached(dino, None, str(tmp_path)) == link


def test_files_of_ones_own_are_found_or_asked_for(tiny_folder, tmp_path) -> None:
    assert catalogue.cached(f"local-dir:{tiny_folder}", None) == tiny_folder / "open_clip_model.safetensors"
    assert catalogue.cached(f"local-dir:{tmp_path}", None) is None
    file = str(tmp_path / "slip_base_100ep.pt")
    assert catalogue.cached("SLIP-ViT-B-16", file) is None
    assert catalogue.where("slip-b16", "SLIP-ViT-B-16", file) == (
        f"https://dl.fbaipublicfiles.com/slip/slip_base_100ep.pt → {file}"
    )
    Path(file).touch()
    assert catalogue.cached("SLIP-ViT-B-16", file) == Path(file)


def test_the_checks_image_is_the_same_everywhere() -> None:
    pixels = backbone_check.image()
    assert pixels.shape == (240, 320, 3) and pixels.dtype == np.uint8
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == (
        "de93366cf82b44695d3b27252532ade6947f3fdfd39794d1e4927ad06be62bda"
    )


def test_the_embedded_backbone_has_its_known_cosines(nano) -> None:
    sha256 = ROWS["nano"]["weights"]["sha256"]
    lines = list(backbone_check.check("nano", nano, sha256=sha256))
    text = "\n".join(lines)
    assert f"SHA-256 {sha256}, as declared" in text
    backbone = load_backbone(nano)
    pixels = backbone.transform(Image.fromarray(backbone_check.image())).unsqueeze(0)
    image = backbone.encode_images(pixels).features
    for words, cosine in catalogue.facts()["nano"].cosines.image.items():
        encoded = backbone.encode_texts(backbone.tokenize([words])[0]).features
        assert float(torch.cosine_similarity(image, encoded)) == pytest.approx(cosine, abs=2e-4)
        assert f"known cosine of the image and '{words}': {cosine:.4f}" in text
    assert text.count("agrees with fp32") == 2


def test_other_weights_under_the_name_are_told_by_their_cosines(nano, tmp_path) -> None:
    shutil.copytree(NANO, tmp_path / "nano")
    file = tmp_path / "nano" / "open_clip_model.safetensors"
    state = load_file(file)
    state["visual.proj"] = state["visual.proj"].flip(0).contiguous()
    save_file(state, file)
    lines = backbone_check.check("nano", f"local-dir:{tmp_path / 'nano'}")
    with pytest.raises(BackboneError, match=r"cosine of the image and 'a large red circle' is .* known is 0"):
        list(lines)


def test_words_of_openai_b32_have_the_cosines_of_published_features(real) -> None:
    held = np.load(real / "simat" / "words_clip_vit_b32.npz")
    units = held["text_features"].astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    places = {word: place for place, word in enumerate(held["words"])}
    for one, other, cosine in catalogue.facts()["openai-b32"].cosines.texts:
        assert units[places[one]] @ units[places[other]] == pytest.approx(cosine, abs=1e-4)


def test_a_file_that_is_not_the_one_the_hub_states_is_an_error(tmp_path) -> None:
    link = into_the_cache(tmp_path, "a/b", "model.safetensors", b"changed since", called="0" * 64)
    found = hashlib.sha256(b"changed since").hexdigest()
    with pytest.raises(
        BackboneError, match=f"has SHA-256 {found}, not {'0' * 64}, which is stated by the hub"
    ):
        backbone_check._verified("x", link, found, None)
    link = into_the_cache(tmp_path, "a/c", "model.safetensors", b"as stated")
    right = hashlib.sha256(b"as stated").hexdigest()
    assert backbone_check._verified("x", link, right, None) == "as stated by the hub"
    with pytest.raises(BackboneError, match="which is published: get it again"):
        backbone_check._verified("openai-b32", tmp_path / "ViT-B-32.pt", found, None)
    assert "nothing to compare it with" in backbone_check._verified("x", tmp_path / "own.pt", found, None)


def params(folder: Path, **rows: dict) -> str:
    """The project's params.yaml with some backbones of one's own."""
    held = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    given = {name: {"weights": weights, "ovi": {"patches": 4}} for name, weights in rows.items()}
    (folder / "params.yaml").write_text(yaml.safe_dump({**held, "backbones": given}))
    return str(folder / "params.yaml")


def test_the_command_lists_rows_with_sizes_support_and_the_place_of_weights(nano, tmp_path) -> None:
    rows = {
        "dino": {"model": "timm:vit_small_patch14_dinov2.lvd142m"},
        "siglip": {"model": "ViT-B-16-SigLIP", "pretrained": "webli"},
        "mobile": {"model": "MobileCLIP-S2", "pretrained": "datacompdr"},
        "slip-b16": {"model": "SLIP-ViT-B-16", "pretrained": "slip_base_100ep.pt"},
        "lost": {"model": "ViT-B-33", "pretrained": "openai"},
    }
    ran = CliRunner().invoke(app, ["--params", params(tmp_path, **rows)])
    assert ran.exit_code == 0, ran.output
    lines = {line.split()[0]: re.split(r"  +", line) for line in ran.output.split("\n\n")[0].splitlines()}
    assert lines["dino"][1:8] == ["22.1 M", "384", "-", "-", "518", "no", "no"]
    assert lines["mobile"][6:8] == ["R = 1", "no"]
    assert lines["slip-b16"][1:8] == ["149.6 M", "512", "image 768, text 512", "77", "224", "R = 1", "P = 4"]
    assert lines["slip-b16"][8].startswith("not here: https://dl.fbaipublicfiles.com/slip/")
    assert lines["nano"][8] == "data/backbones/nano"
    assert lines["openai-b32"][1:3] == ["151.3 M", "512"] and "huggingface.co/timm/" in lines["openai-b32"][8]
    assert lines["nano-cua"][-1] == f"made by finetune.nano-cua of {tmp_path / 'params.yaml'}"
    assert lines["lost"][1:6] == ["?"] * 5
    assert "FastVit is none" in ran.output and "'ViT-B-33' is none of open_clip's" in ran.output


def test_the_catalogue_is_listed_without_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from crossgap.cli.backbones import app; "
        "assert 'dinov3-l16' in CliRunner().invoke(app, []).output; "
        "print({'torch', 'open_clip', 'timm'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "set()\n", ran.stderr


def test_the_command_checks_one(nano, tmp_path) -> None:
    file = params(tmp_path)
    ran = CliRunner().invoke(app, ["check", "nano", "--params", file, "--device", "cpu"])
    assert ran.exit_code == 0 and "known cosine" in ran.output
    ran = CliRunner().invoke(app, ["check", "nana", "--params", file])
    assert ran.exit_code != 0 and "there is no backbone 'nana', in the catalogue or" in str(ran.exception)
    assert "; did you mean 'nano'?; there are" in str(ran.exception)
    with_another = params(tmp_path, own={"model": nano, "sha256": "0" * 64})
    ran = CliRunner().invoke(app, ["check", "own", "--params", with_another, "--device", "cpu"])
    assert ran.exit_code != 0 and "not the weights declared" in str(ran.exception or ran.output)


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 1e-3), ("fp16", 1e-5)])
def test_features_of_the_embedded_backbone_agree_in_all_precisions(nano, precision, bound) -> None:
    """One less cosine; of random towers of two layers, tests/backbones/test_backbone.py allows 1e-2 and 1e-3."""
    exact, half = load_backbone(nano), load_backbone(nano, precision=precision)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)) for _ in range(8)]
    images.append(Image.fromarray(backbone_check.image()))
    pixels = torch.stack([exact.transform(image) for image in images])
    ids, _ = exact.tokenize([*backbone_check.TEXTS, "a green square", "a dog"])
    for found, wanted in [
        (half.encode_images(pixels), exact.encode_images(pixels)),
        (half.encode_texts(ids), exact.encode_texts(ids)),
    ]:
        loss = 1 - torch.cosine_similarity(found.features.double(), wanted.features.double())
        assert 0 < loss.max() < bound
        assert found.features.dtype == torch.float32


def test_a_store_says_in_which_precision_it_was_encoded(nano, tmp_path) -> None:
    row = {
        "id": "a",
        "modality": "text",
        "split": "test",
        "path": None,
        "text": "a red circle",
        "group": None,
    }
    frame = pd.DataFrame([row | {"rank": 0, "digest": manifest.text_digest("a red circle")}])
    for precision in ("fp32", "bf16", "fp16"):
        path = tmp_path / precision / "native.zarr.zip"
        backbone = load_backbone(nano, precision=precision)
        encode(
            manifest.validate(frame), tmp_path, backbone, path, provenance={}, scratch=tmp_path / "scratch"
        )
        store = open_store(path)
        assert store.provenance["backbone_provenance"]["precision"] == precision
        assert store["text/test"].features.dtype == np.float32
