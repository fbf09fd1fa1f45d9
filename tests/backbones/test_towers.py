"""Every model that open_clip registers, shrunk in depth and with random weights: what can be inverted into it.

Pseudo-tokens that are the native embeddings must give the native features. What `crossgap backbones towers` says of a
model from its configuration is compared with what comes out.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import open_clip
import pytest
import torch
import yaml
from open_clip import factory, hf_model, timm_model
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from crossgap.backbones import Backbone, BackboneError, load_backbone, loading, towers
from crossgap.backbones.injection import Injection, PseudoPatches, PseudoText
from crossgap.backbones.tokenizers import load_tokenizer
from crossgap.catalogue import backbones
from crossgap.catalogue.kinds import FROM_THE_HUB, kinds
from tests.runs import run_of

ROOT = Path(__file__).parents[2]
NAMES = open_clip.list_models()
TEMPLATE, WORDS = "a photo of {} on grass", "small dog"
LARGEST_DIFFERENCE = 1e-5  # relative to the largest component of the feature
WIDE = 1024  # vision towers from this width on keep one block, the others two
WIDE_TRUNKS = ("enormous", "giant", "gigantic", "large", "so400m")
CONVOLUTIONAL = {"ModifiedResNet", "ConvNeXt", "FastVit"}


class StandIn:
    """In place of a tokenizer from Hugging Face, with its conventions; a word is a hash of it.

    Args:
        start: id before the words, if any.
        end: id after them, if any.
        pad: id that fills the context.
    """

    def __init__(self, start: int | None, end: int | None, pad: int) -> None:
        self.before = [] if start is None else [start]
        self.after = [] if end is None else [end]
        self.pad = pad
        self.context_length = 77

    def __call__(self, texts: list[str], context_length: int) -> Tensor:
        rows = []
        for text in texts:
            words = [200 + sum(word.encode()) % 300 for word in text.split()]
            room = context_length - len(self.before) - len(self.after)
            row = [*self.before, *words[:room], *self.after]
            rows.append(row + [self.pad] * (context_length - len(row)))
        return torch.tensor(rows)


VOCABULARY = 512  # of the stand-ins
STAND_INS = {
    "bert-base-uncased": StandIn(101, None, 0),  # open_clip strips the end token of CLIPA's
    "facebook/xlm-v-base": StandIn(0, 2, 1),
    "google/mt5": StandIn(None, 1, 0),
    "roberta": StandIn(0, 2, 1),
    "facebook/nllb-200": StandIn(3, 2, 1),
    "SigLIP2": StandIn(None, 1, 0),
    "SigLIP": StandIn(None, 1, 1),
}


@functools.cache
def own_tokenizer() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer()


def tokenizer_of(name: str) -> Callable[..., Tensor]:
    theirs = open_clip.get_model_config(name)["text_cfg"].get("hf_tokenizer_name")
    if not theirs:
        return own_tokenizer()
    return next(stand_in for known, stand_in in STAND_INS.items() if known in theirs)


def shrunk(config: dict) -> dict:
    """The configuration with its widths, heads, grids and pools, and few layers."""
    config = copy.deepcopy(config)
    vision, text = config["vision_cfg"], config["text_cfg"]
    if isinstance(vision.get("layers"), list):
        vision["layers"] = [1] * len(vision["layers"])
    elif "layers" in vision:
        vision["layers"] = 1 if vision["width"] >= WIDE else 2
    for tower in (text, config.get("multimodal_cfg", {})):
        if "layers" in tower:
            tower["layers"] = 2
    if "hf_tokenizer_name" in text:
        text["vocab_size"] = VOCABULARY
    return config


def with_another_text_tower(config: dict) -> dict:
    """The same vision tower beside a text tower that needs nothing from a hub."""
    small = {"context_length": 16, "vocab_size": VOCABULARY, "width": 64, "heads": 1, "layers": 1}
    return {**config, "text_cfg": small}


def shallow_trunk(create: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """timm's `create_model`, with few blocks."""

    def make(name: str, **options) -> nn.Module:
        if name.startswith("convnext"):
            options["depths"] = (1, 1, 1, 1)
        elif name.startswith("swin"):
            options["depths"] = (2, 1, 1, 1)
        elif name.startswith("fastvit"):
            options["layers"] = (1, 1, 1, 1)
        else:
            options["depth"] = 1 if any(word in name for word in WIDE_TRUNKS) else 2
        trunk = create(name, **options)
        stem = getattr(getattr(trunk, "patch_embed", None), "backbone", None)
        if hasattr(stem, "stages"):
            stem.stages = nn.Sequential(*(stage[:1] for stage in stem.stages))
        return trunk

    return make


class NoInitialisation(TorchFunctionMode):
    """Drawing initial weights of this size takes longer than all else; `fill` does it."""

    DRAWN = frozenset(
        [
            *(getattr(Tensor, name) for name in ("normal_", "uniform_", "erfinv_")),
            *(getattr(nn.init, name) for name in ("normal_", "uniform_", "trunc_normal_")),
            *(getattr(nn.init, f"{name}_uniform_") for name in ("kaiming", "xavier")),
        ]
    )

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in self.DRAWN:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


@functools.cache
def noise() -> Tensor:
    # a prime length: no two rows of a weight are alike
    return torch.randn(1_048_573, generator=torch.Generator().manual_seed(0))


def fill(model: nn.Module) -> None:
    """Weights that neither vanish nor explode, and no zeros or ones that hide what is left out."""
    for name, parameter in model.named_parameters():
        if name.startswith("text_decoder."):  # of CoCa's captions; no feature sees it
            continue
        flat = parameter.data.view(-1)
        fan = parameter[0].numel() if parameter.ndim == 4 else parameter.shape[-1] if parameter.ndim else 1
        scale = 0.1 if parameter.ndim < 2 else fan**-0.5
        for start in range(0, len(flat), len(noise())):
            part = flat[start : start + len(noise())]
            torch.mul(noise()[: len(part)], scale, out=part)
        if parameter.ndim < 2 and name.endswith("weight"):
            flat += 1


@contextlib.contextmanager
def registered(name: str, config: dict) -> Iterator[None]:
    """Let open_clip build another configuration under this name, quickly."""
    create = timm_model.timm.create_model
    with (
        mock.patch.dict(factory._MODEL_CONFIGS, {name: config}),
        mock.patch.object(timm_model.timm, "create_model", shallow_trunk(create)),
        # the configuration may need none of it
        mock.patch.object(towers, "_installed", lambda _library: True),
        warnings.catch_warnings(),
        NoInitialisation(),
    ):
        warnings.filterwarnings("ignore", message=".*has random weights")
        yield


def build(name: str, config: dict) -> Backbone:
    # no weight has a value yet
    with registered(name, config), mock.patch.object(loading, "check_finite", lambda *_: None):
        backbone = load_backbone(name)
    fill(backbone.model)
    return dataclasses.replace(backbone, load_tokenizer=lambda: tokenizer_of(name))


@contextlib.contextmanager
def transformers_missing() -> Iterator[None]:
    with (
        mock.patch.object(hf_model, "transformers", None),
        mock.patch.dict(sys.modules, transformers=None),
        mock.patch.object(towers, "_installed", lambda _library: False),
    ):
        yield


def foreseen(name: str, method: towers.Method) -> str | None:
    """The refusal by the configuration alone, where all libraries are there."""
    with mock.patch.object(towers, "_installed", lambda _library: True):
        return towers.refusal(name, method)


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of inverting into one tower.

    Attributes:
        kind: of the tower, in words.
        width: of its tokens or patches; None where it was refused.
        refusal: why it was refused, in the library's words; None where it wasn't.
        difference: of the injected from the native feature, relative; the larger one of the two paths.
        change: by other pseudo-tokens or patches, relative.
        fast: whether it has the fast path.
    """

    kind: str
    refusal: str | None = None
    difference: float = 0.0
    change: float = 1.0
    fast: bool = False
    width: int | None = None


def compared(kind: str, native: Tensor, encode: Injection, embedded: Tensor) -> Found:
    """Inject the native embeddings `(1, k, width)`, and others beside them."""
    other = embedded.flip(-1)
    same, changed = encode(torch.cat([embedded, other])).split(1)
    if encode.fast:
        same = torch.cat([same, encode._hooked(embedded)])
    return Found(
        kind,
        difference=float((same - native).abs().max() / native.abs().max()),
        change=float((changed - native).norm() / native.norm()),
        fast=encode.fast,
        width=embedded.shape[-1],
    )


def oti_of(backbone: Backbone) -> Found:
    kind = kind_of_text(backbone.model)
    try:
        encode = PseudoText(backbone, TEMPLATE, len(WORDS.split()))
    except BackboneError as error:
        return Found(kind, str(error))
    ids, _ = backbone.tokenize([TEMPLATE.format(WORDS)])
    native = backbone.model.encode_text(ids, normalize=False)
    return compared(kind, native, encode, encode.embedding(ids)[:, encode.slots])


def ovi_of(backbone: Backbone) -> Found:
    kind = kind_of_vision(backbone.model.visual)
    try:
        encode = PseudoPatches(backbone, 1)
    except BackboneError as error:
        return Found(kind, str(error))
    image = torch.randn(encode.blank.shape, generator=torch.Generator().manual_seed(1))
    seen: list[Tensor] = []
    handle = encode.embedding.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    native = backbone.model.encode_image(image, normalize=False)
    handle.remove()
    (patches,) = seen
    patches = patches.flatten(2).transpose(1, 2) if encode.channels_first else patches.flatten(1, -2)
    encode.source = torch.arange(patches.shape[1])  # a pseudo-patch for every patch
    return compared(kind, native, encode, patches)


def kind_of_text(model: nn.Module) -> str:
    text = getattr(model, "text", model)
    if getattr(text, "cls_emb", None) is not None:
        return "causal, read at an appended class token (CoCa)"
    pool = getattr(model, "text_pool_type", None) or text.pool_type
    masked = "causal" if text.attn_mask is not None else "not causal"
    place = {"argmax": "end token", "eos": "end token, found by its id", "last": "last position"}[pool]
    return f"{masked}, read at the {place}"


POOLS = {"tok": "class token", "token": "class token", "map": "attention pool", "avg": "mean of the patches"}


def kind_of_vision(visual: nn.Module) -> str:
    trunk = getattr(visual, "trunk", None)
    kind = type(visual if trunk is None else trunk).__name__
    if kind in CONVOLUTIONAL:
        return kind
    if trunk is None:
        return f"open_clip ViT, {POOLS['map' if visual.attn_pool is not None else visual.pool_type]}"
    stem = " behind a convolutional stem" * (type(trunk.patch_embed).__name__ == "HybridEmbed")
    return f"timm {kind}{stem}, {POOLS[trunk.global_pool]}"


SAME_VISION_TOWER: dict[str, Found] = {}


@torch.inference_mode()
def outcome(name: str) -> tuple[Found, Found]:
    """What comes of OTI and of OVI with one of open_clip's models; a vision tower seen before is not run again."""
    config = shrunk(open_clip.get_model_config(name))
    from_the_hub = "hf_model_name" in config["text_cfg"]
    backbone = build(name, with_another_text_tower(config) if from_the_hub else config)
    textual = refused_without_transformers(name, config) if from_the_hub else oti_of(backbone)
    vision = json.dumps(
        [config["vision_cfg"], config["embed_dim"], config.get("quick_gelu"), type(backbone.model).__name__]
    )
    if vision not in SAME_VISION_TOWER:
        SAME_VISION_TOWER[vision] = ovi_of(backbone)
    return textual, SAME_VISION_TOWER[vision]


def refused_without_transformers(name: str, config: dict) -> Found:
    with registered(name, config), transformers_missing():
        try:
            load_backbone(name)
        except BackboneError as error:
            return Found(FROM_THE_HUB, str(error))
    return Found(FROM_THE_HUB)


KINDS = {kind.model: kind for kind in kinds()}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_native_embeddings_give_the_native_features_or_the_tower_is_refused(name) -> None:
    textual, visual = outcome(name)
    for found in (textual, visual):
        assert found.difference < LARGEST_DIFFERENCE
        assert found.change > 1e-2
    assert (visual.refusal is not None) == (visual.kind in CONVOLUTIONAL)
    assert visual.refusal == foreseen(name, "ovi")
    if textual.kind == FROM_THE_HUB:
        assert name in textual.refusal
    else:
        assert textual.refusal is None
    assert foreseen(name, "oti") is None
    said = KINDS[name]
    assert (said.text, said.vision) == (textual.kind, visual.kind)
    assert said.ovi == ("no" if visual.refusal else "fast" if visual.fast else "yes")
    assert said.vision_width in (None, visual.width)
    if textual.refusal is None:
        assert (said.oti, said.text_width) == ("fast" if textual.fast else "yes", textual.width)


@pytest.mark.parametrize(
    "name",
    [
        *("ViT-S-32", "RN50-quickgelu", "MobileCLIP-B", "PE-Core-T-16-384", "coca_ViT-B-32"),
        *("vit_relpos_medium_patch16_cls_224", "SLIP-ViT-B-16"),
    ],
)
def test_what_a_configuration_says_of_towers_is_what_is_built(name) -> None:
    """Some kinds, on the meta device; the test above does it of all models."""
    model, said = backbones._skeleton(name).model, KINDS[name]
    assert (said.text, said.vision) == (kind_of_text(model), kind_of_vision(model.visual))
    embedded = getattr(model, "text", model).token_embedding.weight.shape[1]
    assert (said.text_width, said.dim) == (embedded, backbones.described(name).dim)
    blocks = {type(module).__name__ for module in getattr(model, "text", model).transformer.modules()}
    assert ("QuickGELU" in blocks) == (said.activation == "QuickGELU")
    if said.vision_width:
        assert model.visual.conv1.out_channels == said.vision_width


def test_every_registered_model_has_its_row() -> None:
    assert {*NAMES, "SLIP-ViT-B-16", "SLIP-ViT-L-16"} == KINDS.keys()
    for name, said in KINDS.items():
        assert (said.ovi == "no") == (foreseen(name, "ovi") is not None), name
        with transformers_missing():
            assert said.oti_hub == (towers.refusal(name, "oti") is not None), name
            assert said.ovi_hub == (towers.unloadable(name) is not None), name


def test_the_command_lists_towers_without_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from crossgap.cli.backbones import app; "
        "said = CliRunner().invoke(app, ['towers', 'rn50X']).output.splitlines(); "
        "assert [line.split()[0] for line in said[1:7]] == "
        "[f'RN50x{size}{form}' for size in (16, 4, 64) for form in ('', '-quickgelu')], said; "
        "assert said[7] == '' and said[8].startswith(f'6 of {NAMES} models. OTI inverts into all text towers; '); "
        "assert {line.split()[-2] for line in said[1:7]} == {'no'}; "
        "print({'torch', 'open_clip', 'timm'} & set(sys.modules))"
    ).replace("NAMES", str(len(KINDS)))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "set()\n", ran.stderr


FROM_THE_HUB_NAMES = [
    name for name in NAMES if "hf_model_name" in open_clip.get_model_config(name)["text_cfg"]
]


def small_hub_config(tower: str):
    """What the hub would give for a text tower, with little of everything."""
    transformers = pytest.importorskip("transformers")
    roberta = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    mt5 = {"d_model": 64, "d_kv": 32, "num_heads": 2, "num_layers": 2, "d_ff": 128}
    nllb = {
        f"{side}_{part}": number
        for side in ("encoder", "decoder")
        for part, number in {"layers": 2, "attention_heads": 2, "ffn_dim": 128}.items()
    }
    kinds = {
        "xlm-roberta": (transformers.XLMRobertaConfig, {**roberta, "max_position_embeddings": 514}),
        "roberta": (transformers.RobertaConfig, {**roberta, "max_position_embeddings": 514}),
        "mt5": (transformers.MT5Config, mt5),
        "nllb": (transformers.M2M100Config, {**nllb, "d_model": 64}),
    }
    kind, sizes = next(known for word, known in kinds.items() if word in tower)
    return kind(vocab_size=VOCABULARY, **sizes)


@pytest.mark.parametrize("name", FROM_THE_HUB_NAMES)
@torch.inference_mode()
def test_text_towers_from_hugging_face_take_pseudo_tokens_once_their_configuration_is_there(name) -> None:
    config = shrunk(open_clip.get_model_config(name))
    del config["text_cfg"]["vocab_size"]
    hub_config = small_hub_config(config["text_cfg"]["hf_model_name"])
    with (
        mock.patch.object(hf_model.AutoConfig, "from_pretrained", lambda _name: hub_config),
        mock.patch.object(
            open_clip, "create_model", functools.partial(open_clip.create_model, pretrained_text=False)
        ),
    ):
        backbone = build(name, config)
    with mock.patch(f"{__name__}.kind_of_text", lambda _model: FROM_THE_HUB):
        found = oti_of(backbone)
    assert found.refusal is None
    assert found.difference < LARGEST_DIFFERENCE and found.change > 1e-2


@pytest.mark.parametrize("name", FROM_THE_HUB_NAMES)
def test_a_text_tower_from_hugging_face_is_refused_before_any_work(name, monkeypatch) -> None:
    tags = open_clip.list_pretrained_tags_by_model(name)

    def never(*_arguments, **_options):
        raise AssertionError("work was begun")

    monkeypatch.setattr(open_clip, "create_model", never)
    monkeypatch.setattr(open_clip, "download_pretrained", never)
    with transformers_missing():
        said = towers.unloadable(name)
        assert "from Hugging Face: pip install 'crossgap[hub]'" in said
        assert towers.refusal(name, "oti") == towers.refusal(name, "ovi") == said
        with pytest.raises(BackboneError, match=re.escape(said)):
            load_backbone(name, tags[0] if tags else None)
    assert foreseen(name, "oti") is None and foreseen(name, "ovi") is None


def test_a_tokenizer_from_hugging_face_is_missed_by_oti_alone() -> None:
    with transformers_missing():
        said = towers.refusal("ViT-B-16-SigLIP", "oti")
        assert said.startswith(
            "the tokenizer of 'ViT-B-16-SigLIP' is from Hugging Face: pip install 'crossgap[hub]'"
        )
        with pytest.raises(BackboneError, match=re.escape(said.partition(",")[0])):
            load_tokenizer("ViT-B-16-SigLIP")
        assert towers.refusal("ViT-B-16-SigLIP", "ovi") is None
        assert towers.refusal("ViT-B-16", "oti") is None


RESNET = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 32}


@pytest.mark.parametrize(
    ("vision", "kind"),
    [
        (RESNET, "ModifiedResNet"),
        ({"timm_model_name": "resnet50"}, "ResNet"),
        ({"timm_model_name": "convnext_atto"}, "ConvNeXt"),
        ({"layers": 2, "width": 48}, None),
        ({"timm_model_name": "vit_tiny_patch16_224"}, None),
    ],
)
def test_a_folder_of_ones_own_is_judged_by_its_configuration(tmp_path, vision, kind) -> None:
    config = {"model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": {}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    assert towers.refusal(f"local-dir:{tmp_path}", "ovi") == (kind and towers.no_patches(kind))
    assert towers.refusal(f"local-dir:{tmp_path}", "oti") is None


@pytest.mark.parametrize(
    "config", [None, "{", "[]", "{}", '{"model_cfg": []}', '{"model_cfg": {"text_cfg": {}}}']
)
def test_what_only_loading_can_tell_is_left_to_it(tmp_path, config) -> None:
    if config:
        (tmp_path / "open_clip_config.json").write_text(config)
    for model in (f"local-dir:{tmp_path}", "hf-hub:nobody/nothing", "ViT-B-33", "../ViT-B-32", ""):
        assert towers.refusal(model, "oti") is towers.refusal(model, "ovi") is None


def test_slashes_in_a_name_are_what_open_clip_takes_them_for() -> None:
    assert towers.refusal("convnext/base", "ovi") == towers.refusal("convnext-base", "ovi")
    assert (
        towers.refusal("RN50", "ovi") == "OVI needs a vision tower over patch tokens; ModifiedResNet is none"
    )


def test_judging_costs_neither_torch_nor_open_clip() -> None:
    code = (
        "import sys; from crossgap.backbones import towers; assert towers.refusal('RN50', 'ovi'); "
        "assert not {'torch', 'open_clip', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def checked(folder: Path, backbones: dict[str, str], **run: object) -> subprocess.CompletedProcess:
    """`crossgap check`, on the project's params with other backbones."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    (example,) = list(params["backbones"].values())[:1]
    for name, model in backbones.items():
        params["backbones"][name] = {**example, "weights": {"model": model, "pretrained": "openai"}}
    asked = {name: {"backbones": list(backbones), "datasets": datasets} for name, datasets in run.items()}
    held = {name: params["run"][name] for name in ("datasets", "imports")}
    params["run"] = run_of(**held, backbones=list(backbones), **asked)
    params |= {"finetune": {}, "idealised": {}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return subprocess.run(
        [sys.executable, "-c", "from crossgap.cli import app; app()", "check"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_the_check_refuses_ovi_into_a_convolutional_tower(tmp_path) -> None:
    backbones = {"rn": "RN50", "vit": "ViT-B-32-quickgelu", "next": "convnext_base"}
    ran = checked(tmp_path, backbones, oti=["world"], ovi=["world"])
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "crossgap: params.yaml can't be used:",
        *(
            f"  run.ovi: not with the backbone {name!r} (model {model!r}): {towers.no_patches(kind)}; "
            f"else take {name!r} out of run.ovi.backbones"
            for name, model, kind in [("rn", "RN50", "ModifiedResNet"), ("next", "convnext_base", "ConvNeXt")]
        ),
    ]


def test_the_check_lets_pass_what_asks_for_no_inversion(tmp_path) -> None:
    ran = checked(tmp_path, {"rn": "RN50-quickgelu"}, oti=["world"], ovi=[])
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "params.yaml is valid\n", "")


def test_every_inversion_that_is_asked_for_is_judged() -> None:
    names = ["siglip", "xlm"]
    asked = [("run.oti", "oti", names), ("run.sweep", "oti", names), ("run.ovi", "ovi", names)]
    with transformers_missing():
        lines = towers.refusals({"siglip": "ViT-B-16-SigLIP", "xlm": "xlm-roberta-base-ViT-B-32"}, asked)
    assert [line.split(": ")[0] for line in lines] == ["run.oti", "run.sweep", "run.backbones"]
    assert "'siglip' (model 'ViT-B-16-SigLIP')" in lines[0]
    assert lines[2].startswith(
        "run.backbones: 'xlm' can't be loaded: the text tower of 'xlm-roberta-base-ViT-B-32'"
    )
    assert towers.refusals({"siglip": "ViT-B-16-SigLIP"}, []) == []


def test_image_only_models_are_left_out_of_inversions_and_not_refused() -> None:
    model = "timm:vit_base_patch14_dinov2.lvd142m"
    asked = [("run.oti", "oti", ["dino"]), ("run.ovi", "ovi", ["dino"])]
    assert towers.refusals({"dino": model}, asked) == []
    assert towers.modalities(model) == ("image",) and towers.modalities("RN50") == ("image", "text")
    assert "'timm:vit_base_patch14_dinov2.lvd142m' is an image-only backbone" in towers.image_only(model)
    assert towers.image_only("RN50") is towers.image_only("local-dir:timm:x") is None
