from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from crossgap.inversion.recipes import PRESETS, Continued, Recipe
from crossgap.params import ParamsError, load
from crossgap.params.sections import Weights
from tests.runs import run_of

OURS = Path(__file__).parents[1] / "params.yaml"


def good() -> dict:
    """Sections as a user would write them."""
    return {
        "run": {
            "backbones": ["nano"],
            "datasets": ["world"],
            "oti": {"backbones": ["nano"], "datasets": ["world"]},
            "ovi": {"backbones": ["nano"], "datasets": []},
            "sweep": {"backbones": ["nano"], "datasets": ["world"], "tokens": [2]},
            "seeds": {"backbones": ["nano"], "datasets": ["world"], "methods": ["oti", "ovi"], "seeds": [1]},
            "distil": {
                "backbones": ["nano"],
                "datasets": [],
                "sources": ["world"],
                "methods": ["oti", "ovi"],
                "losses": ["cosine"],
            },
            "imports": [],
        },
        "backbones": {"nano": backbone(model="local-dir:data/backbones/nano")},
        "datasets": {
            "world": {
                "layout": "world",
                "images": {"train": 4, "test": 4},
                "retrieval": {"query": "test"},
                "controls": {"support": "train"},
            },
            "photos": {
                "layout": "captions",
                "root": "photos",
                "captions": "a.csv",
                "retrieval": {"query": "test"},
            },
            "kinds": {"layout": "imagefolder", "root": "kinds", "retrieval": {"query": "test"}},
        },
        "imports": {
            "b32": {"backbone": "b32", "dataset": "dtd", "retrieval": {"query": "test", "gallery": "val"}}
        },
        "oti": {"template": "a photo of {}", "steps": None},
        "ovi": {"preset": "paper", "snapshots": [5]},
        "evaluate": {"seed": 0},
        "finetune": {},
        "pretrain": {},
        "idealised": {},
    }


def backbone(**weights: object) -> dict:
    return {"weights": weights, "oti": {"tokens": 1}, "ovi": {"patches": 1}}


def loaded(folder: Path, raw: object):
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(raw))
    return load(path)


def edited(place: str, value: object) -> dict:
    raw = copy.deepcopy(good())
    *sections, last = place.split("/")
    at = raw
    for section in sections:
        at = at.setdefault(section, {})
    at[last] = value
    return raw


def test_the_projects_own_are_valid():
    params = load(OURS)
    assert params.run.backbones == ["nano", *params.finetune]
    assert params.oti.recipe.steps == 150 and params.ovi.recipe.steps == 1000
    assert params.run.oti.datasets == params.run.ovi.datasets == ["world"]


def test_defaults(tmp_path):
    params = loaded(tmp_path, good())
    assert params.oti.recipe == Recipe(steps=150) and not params.oti.gallery
    assert params.ovi.recipe == Recipe(steps=1000, snapshots=(5,))
    assert params.backbones["nano"].weights.precision == "fp32"
    assert params.machine.device == "auto"
    assert params.datasets["photos"].on_problem == "error"


def test_values_beside_a_preset_change_its_recipe(tmp_path):
    raw = good()
    raw["ovi"] = {"preset": "fast", "steps": 7, "lr": None, "seed": 3, "patience": 2, "snapshots": [5]}
    fast = PRESETS["ovi"]["fast"]
    wanted = Recipe(7, fast["lr"], seed=3, patience=2, snapshots=(5,))
    assert loaded(tmp_path, raw).ovi.recipe == wanted


def test_imports_alone_are_enough(tmp_path):
    assert loaded(tmp_path, edited("run", run_of(imports=["b32"]))).run.imports == ["b32"]


WRONG = [
    # an unknown key, in every kind of section
    ("stepz", 3, "stepz: unknown key; remove it or mend its spelling (got 3)"),
    ("run/dataset", ["world"], "run.dataset: unknown key"),
    ("oti/stepz", 3, "oti.stepz: unknown key; did you mean 'steps'?; remove it or mend its spelling (got 3)"),
    ("evalute", 3, "evalute: unknown key; did you mean 'evaluate'?; remove it"),
    ("machine/batchsize", 3, "machine.batchsize: unknown key"),
    ("backbones/nano/weights/tag", "openai", "backbones.nano.weights.tag: unknown key; remove"),
    ("datasets/photos/caption", "a.csv", "datasets.photos.caption: unknown key; did you mean 'captions'?"),
    (
        "datasets/world/retrieval/galery",
        "test",
        "datasets.world.retrieval.galery: unknown key; did you mean 'gallery'?",
    ),
    ("imports/b32/labels", "y", "imports.b32.labels: unknown key"),
    # names that nothing declares
    (
        "run",
        run_of(backbones=["nanoo"], datasets=["world"]),
        "run.backbones: 'nanoo' is not declared under backbones, nor in the catalogue; did you mean 'nano'? (",
    ),
    (
        "run/datasets",
        ["world", "flickr"],
        "run.datasets: 'flickr' is not declared under datasets, nor in the catalogue; did you mean 'flickr8k'? (",
    ),
    ("run/oti/datasets", ["flickr"], "run.oti.datasets: 'flickr' is not declared under datasets"),
    (
        "run/ovi/datasets",
        ["photos"],
        "run.ovi.datasets: 'photos' is not in run.datasets, so nothing of it is encoded",
    ),
    ("run/imports", ["b16"], "run.imports: 'b16' is not declared under imports (known: b32)"),
    ("run/oti/datasets", ["world", "world"], "run.oti.datasets: named twice: world"),
    ("run/sweep/datasets", ["photos"], "run.sweep.datasets: 'photos' is not in run.datasets"),
    ("run/sweep/tokens", [2, 2], "run.sweep.tokens: named twice: 2"),
    ("run/sweep/tokens", [0], "run.sweep.tokens.0: Input should be greater than or equal to 1 (got 0)"),
    ("run/seeds/datasets", ["photos"], "run.seeds.datasets: 'photos' is not in run.datasets"),
    ("run/seeds/datasets", ["flickr"], "run.seeds.datasets: 'flickr' is not declared under datasets"),
    ("run/seeds/methods", ["oti", "oti"], "run.seeds.methods: named twice: oti"),
    (
        "run/seeds/methods",
        ["otti"],
        "run.seeds.methods.0: Input should be 'oti' or 'ovi'; did you mean 'oti'? (got 'otti')",
    ),
    ("run/seeds/seeds", [3, 3], "run.seeds.seeds: named twice: 3"),
    ("run/seeds/seeds", [-1], "run.seeds.seeds.0: Input should be greater than or equal to 0 (got -1)"),
    ("oti/seed", 1, "run.seeds.seeds: 1 is oti.seed, with which oti runs anyway; give others"),
    ("ovi/seed", 1, "run.seeds.seeds: 1 is ovi.seed, with which ovi runs anyway; give others"),
    # types and ranges
    ("run/backbones", "nano", "run.backbones: give a list, such as [a, b], or [] for none (got 'nano')"),
    ("run/oti/datasets", None, "run.oti.datasets: give a list, such as [a, b], or [] for none (got None)"),
    ("run/oti", ["world"], "run.oti: give keys and values, as the other entries have them"),
    (
        "run/ovi/backbones",
        ["b16"],
        "run.ovi.backbones: 'b16' is not declared under backbones, nor in the catalogue (known: ",
    ),
    (
        "run/datasets",
        [3],
        "run.datasets.0: YAML reads a number here: put it in quotes, or name it otherwise (got 3)",
    ),
    ("run", None, "run: give keys and values"),
    (
        "run/sweep/tokens",
        [True],
        "run.sweep.tokens.0: give a whole number, of digits alone, without quotes (got True)",
    ),
    ("run/seeds/seeds", [2**70], "run.seeds.seeds.0: Input should be less than 9223372036854775808 (got"),
    ("oti/seed", 2**70, "oti.seed: Input should be less than 9223372036854775808 (got"),
    ("oti/gallery", "yes", "oti.gallery: give true or false, without quotes (got 'yes')"),
    (
        "run/backbones",
        ["nano", None],
        "run.backbones.1: give words, in quotes if YAML reads something else (got None)",
    ),
    ("oti/lr", "0.1", "oti.lr: give a number, without quotes (got '0.1')"),
    (
        "oti/steps",
        "many",
        "oti.steps: give a whole number, of digits alone, without quotes (got 'many')",
    ),
    (
        "oti/steps",
        1.5,
        "oti.steps: give a whole number, of digits alone, without quotes (got 1.5)",
    ),
    ("ovi/preset", "quick", "ovi: preset 'quick' is none of ovi's: paper, fast"),
    ("oti/preset", "fast", "oti: preset 'fast' is none of oti's: paper"),
    ("ovi/steps", 0, "ovi: steps 0 is out of range: give at least 1"),
    ("ovi/lr", 0, "ovi: lr 0.0 is out of range: give a number above zero"),
    ("ovi/snapshots", [9, 5], "ovi: snapshots (9, 5) is out of range: give steps in ascending order"),
    ("ovi/patience", 0, "ovi: patience 0 is out of range"),
    ("ovi/optimiser", "adam", "ovi.optimiser:"),
    ("oti", {"preset": "lbfgs", "lr": 0.1}, "oti: lr 0.1 is out of range: leave it out, lbfgs has none"),
    ("ovi/on_problem", "skip", "ovi.on_problem: Input should be 'error' or 'set_aside'"),
    (
        "backbones/nano/oti/tokens",
        0,
        "backbones.nano.oti.tokens: Input should be greater than or equal to 1 (got 0)",
    ),
    ("backbones/nano", None, "backbones.nano: give keys and values"),
    (
        "backbones/nano/weights/precision",
        "fp8",
        "backbones.nano.weights.precision: Input should be 'fp32', 'bf16' or",
    ),
    (
        "backbones/nano/weights/sha256",
        "beef",
        "backbones.nano.weights.sha256: give the 64 hexadecimal digits",
    ),
    ("machine/device", "gpu", "machine.device: give auto, cpu, mps, cuda or cuda:N (got 'gpu')"),
    ("machine/engine", "spark", "machine.engine: Input should be 'local' or 'ray' (got 'spark')"),
    (
        "machine/ray",
        {"address": "somewhere"},
        "machine.ray.address: give auto, the host:port of a running Ray cluster, or null to start one",
    ),
    (
        "machine/ray",
        {"workers": 0},
        "machine.ray.workers: Input should be greater than or equal to 1 (got 0)",
    ),
    (
        "datasets/photos/on_problem",
        "skip",
        "datasets.photos.on_problem: Input should be 'error' or 'set_aside'",
    ),
    (
        "datasets/world/images",
        {"train": 0},
        "datasets.world.images.train: Input should be greater than or equal to 1",
    ),
    ("datasets/world/images", {"dev": 3}, "datasets.world.images.dev: Input should be 'train' or 'test'"),
    # what hangs together
    ("oti/template", "a photo of it", "oti.template: 'a photo of it' needs exactly one {}"),
    ("oti/template", "“a photo of {}”", "oti.template: '“a photo of {}”' is in typographic quotes"),
    ("oti/template", "{} and {}", "oti.template: '{} and {}' needs exactly one {}"),
    (
        "datasets/kinds/root",
        None,
        "datasets.kinds.root: give a path, in quotes if YAML reads something else (got",
    ),
    ("datasets/kinds/templates", ["a photo"], "datasets.kinds.templates: 'a photo' needs exactly one {}"),
    (
        "datasets/kinds/templates",
        "coop/DTD",
        "datasets.kinds.templates: 'coop/DTD' names no templates; give a list",
    ),
    (
        "datasets/kinds/vocabulary",
        "wordnet",
        "datasets.kinds.vocabulary: 'wordnet' is none of imagenet, world, none",
    ),
    (
        "datasets/world/layout",
        "wrold",
        "datasets.world: unknown layout; did you mean 'world'?; give one of world,",
    ),
    (
        "evaluate/corrections",
        ["whiteing"],
        "evaluate.corrections: no correction whiteing; did you mean 'whitening'?; known: ",
    ),
    (
        "finetune/a",
        {"backbone": "nano", "dataset": "world", "losses": {"clp": 1.0}},
        "finetune.a.losses: no loss clp; did you mean 'clip'?; known: ",
    ),
    (
        "oti/on_problem",
        "set_asid",
        "oti.on_problem: Input should be 'error' or 'set_aside'; did you mean 'set_aside'?",
    ),
    ("datasets/world/judgements", "a.csv", "datasets.world.judgements: unknown key"),
    (
        "datasets/world/controls",
        {"support": "val"},
        "datasets.world: controls.support: 'val' is none of the splits",
    ),
    (
        "datasets/world/controls",
        {"support": "test"},
        "datasets.world.controls.support: 'test' is the split of the queries, which would find themselves",
    ),
    (
        "imports/b32/controls",
        {"support": "test"},
        "imports.b32.controls.support: 'test' is the split of the queries, which would find themselves",
    ),
    (
        "imports/b32/controls",
        {"protocol": "new"},
        "imports.b32.controls.protocol: Input should be 'plain' or",
    ),
    (
        "imports/b32/controls",
        {"subsets": {"two": {"class": ["cat"]}}},
        "imports.b32.controls.subsets: 'two' names the classes cat of 'class': give two or more, each once",
    ),
    (
        "datasets/world/controls",
        {"subsets": {"a.b": {"shape": ["circle", "square"]}}},
        "datasets.world.controls.subsets.a.b: a name is made of letters, digits, - and _",
    ),
    (
        "backbones/big",
        backbone(model="ViT-B-32"),
        "backbones.big.weights: model 'ViT-B-32' has no `pretrained`",
    ),
    (
        "backbones/nano/weights/pretrained",
        "openai",
        "backbones.nano.weights: model 'local-dir:data/backbones/nano' brings its own weights: remove `pretrained`",
    ),
    (
        "datasets/world/retrieval/query",
        "val",
        "datasets.world: retrieval.query: 'val' is none of the splits read",
    ),
    (
        "datasets/new",
        {"root": "a"},
        "datasets.new: no layout; give one of world, captions, imagefolder, simat",
    ),
    (
        "datasets/new",
        {"layout": "caption"},
        "datasets.new: unknown layout; did you mean 'captions'?; give one of world, captions, imagefolder, simat",
    ),
    (
        "datasets/photos",
        {"layout": "captions", "root": "a", "captions": "b"},
        "datasets.photos.retrieval: missing; add it",
    ),
    ("run", run_of(backbones=[]), "run: names nothing to evaluate; give backbones and datasets, or imports"),
    (
        "datasets/world/retrieval/query",
        "a/b",
        "datasets.world.retrieval.query: this name is made of letters, digits, ., - and _",
    ),
    (
        "datasets/world/retrieval/query",
        "a" * 101,
        "datasets.world.retrieval.query: this name is made of letters, digits, ., - and _, 100 at most",
    ),
    # names that DVC or the folders of the results can't take
    (
        "backbones/v1.5",
        backbone(model="local-dir:a"),
        "backbones.v1.5: a name is made of letters, digits, - and _",
    ),
    ("datasets/a b", good()["datasets"]["world"], "datasets.a b: a name is made of letters, digits, - and _"),
    (
        "backbones/imports",
        backbone(model="local-dir:a"),
        "backbones: 'imports' is kept for features computed elsewhere",
    ),
]


@pytest.mark.parametrize(
    ("place", "value", "message"), WRONG, ids=[f"{place}={value}"[:60] for place, value, _ in WRONG]
)
def test_what_is_wrong_is_one_clear_message(tmp_path, place, value, message):
    with pytest.raises(ParamsError) as error:
        loaded(tmp_path, edited(place, value))
    first, *lines = str(error.value).splitlines()
    assert first == f"{tmp_path / 'params.yaml'} can't be used:"
    assert len(lines) == 1
    assert lines[0].strip().startswith(message)


@pytest.mark.parametrize("pretrained", [None, "/weights/epoch.pth"])
def test_a_model_of_timms_names_its_weights_or_is_given_them(tmp_path, pretrained):
    """And is asked for inversions beside CLIP models: they come to nothing, and stop nothing."""
    raw = edited(
        "backbones/dino", backbone(model="timm:vit_base_patch14_dinov2.lvd142m", pretrained=pretrained)
    )
    raw["run"]["backbones"] = ["nano", "dino"]
    raw["run"]["ovi"] = {"backbones": ["nano", "dino"], "datasets": ["world"]}
    assert loaded(tmp_path, raw).backbones["dino"].weights.pretrained == pretrained


def test_seeds_are_asked_of_towers_that_can_be_inverted_into(tmp_path):
    raw = edited("backbones/rn", backbone(model="RN50", pretrained="openai"))
    seeds = {"backbones": ["rn"], "datasets": ["world"], "methods": ["oti", "ovi"], "seeds": [1]}
    raw["run"] = run_of(backbones=["rn"], datasets=["world"]) | {"seeds": seeds}
    with pytest.raises(ParamsError) as error:
        loaded(tmp_path, raw)
    (line,) = str(error.value).splitlines()[1:]
    assert line.startswith("  run.seeds: not with the backbone 'rn' (model 'RN50'): OVI needs")
    raw["run"]["seeds"]["methods"] = ["oti"]
    assert loaded(tmp_path, raw).run.seeds.methods == ["oti"]


@pytest.mark.parametrize(
    "place",
    [
        "run",
        "run/oti",
        "run/imports",
        "run/sweep",
        "run/sweep/tokens",
        "run/seeds",
        "run/seeds/methods",
        "evaluate",
        "finetune",
        "pretrain",
        "idealised",
    ],
)
def test_what_dvc_would_miss_later_is_missed_at_once(tmp_path, place):
    raw = good()
    *sections, last = place.split("/")
    at = raw
    for section in sections:
        at = at[section]
    del at[last]
    with pytest.raises(ParamsError, match=f"{place.replace('/', '.')}: missing; add it"):
        loaded(tmp_path, raw)


def test_every_wrong_field_has_its_line(tmp_path):
    raw = edited("oti/stepz", 3)
    raw["ovi"]["steps"] = "many"
    raw["machine"] = {"device": "gpu"}
    with pytest.raises(ParamsError) as error:
        loaded(tmp_path, raw)
    assert [line.split(":")[0].strip() for line in str(error.value).splitlines()[1:]] == [
        "oti.stepz",
        "ovi.steps",
        "machine.device",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it needs sections, such as run"),
        ("- a", "it needs sections, such as run"),
        ("a: [", "is not YAML"),
        (b"a: \xff", "is not YAML"),
    ],
)
def test_file_that_holds_no_sections(tmp_path, content, message):
    path = tmp_path / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ParamsError, match=message) as error:
        load(path)
    assert str(path) in str(error.value)


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(ParamsError, match=r"not found: run from the project's root"):
        load(tmp_path / "params.yaml")


def test_inversions_of_a_backbone_that_does_not_run_are_named_together(tmp_path):
    raw = edited("run/backbones", ["openai-b16"])
    with pytest.raises(ParamsError) as error:
        loaded(tmp_path, raw)
    (line,) = str(error.value).splitlines()[1:]
    fields = ", ".join(f"run.{name}.backbones" for name in ("oti", "sweep", "ovi", "seeds", "distil"))
    assert line == f"  {fields}: 'nano' is not in run.backbones, so nothing of it is encoded"


def test_a_name_that_nothing_declares_has_one_line_with_all_its_fields(tmp_path):
    cells = {"backbones": ["nanoo"], "datasets": ["world"]}
    with pytest.raises(ParamsError) as error:
        loaded(tmp_path, edited("run", run_of(**cells, oti=cells, ovi=cells)))
    first, *others = str(error.value).splitlines()[1:]
    fields = "run.backbones, run.oti.backbones, run.ovi.backbones"
    assert first.startswith(f"  {fields}: 'nanoo' is not declared under backbones") and not others


def test_steps_from_phis_tokens_are_the_sections_or_their_own(tmp_path):
    def steps(of, section=None):
        raw = edited("distil", {"oti": {"steps": 25, **of}})
        params = loaded(tmp_path, {**raw, "oti": {**raw["oti"], **(section or {})}})
        return params.distil.oti.continued(params.oti)

    assert steps({}) == Continued(25, lr=0.02, snapshots=(0,))
    assert (
        steps({"step_lr": 0.15}, {"weight_decay": 0.1}).as_dict()
        == Continued(25, lr=0.15, weight_decay=0.1, snapshots=(0,)).as_dict()
    )
    by = Continued(25, optimiser="lbfgs", snapshots=(0,))
    assert steps({"step_optimiser": "lbfgs"}, {"lr": 0.1}) == by == steps({}, {"preset": "lbfgs"})
    assert steps({"step_optimiser": "adamw", "step_lr": 0.1}, {"preset": "lbfgs"}).lr == 0.1
    raw = edited("distil", {"oti": {"steps": 25, "step_lr": 0.1, "step_optimiser": "lbfgs"}})
    raw["run"]["distil"] = {
        "backbones": ["nano"], "datasets": ["world"], "sources": ["world"], "methods": ["oti"], "losses": ["cosine"]
    }  # fmt: skip
    with pytest.raises(
        ParamsError, match=r"distil.oti.step_lr: 0.1 is AdamW's, and lbfgs has none: leave it out"
    ):
        loaded(tmp_path, raw)


def test_the_first_revision_that_a_user_writes_is_another_than_none(tmp_path):
    row = {"layout": "imagefolder", "root": "birds", "retrieval": {}}
    raw = good()
    raw["datasets"] |= {"plain": row, "raised": row | {"revision": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    held = load(tmp_path / "params.yaml").datasets
    assert held["plain"] != held["raised"]


def test_what_is_distilled_on_is_a_split_that_is_read(tmp_path):
    raw = edited("distil", {"oti": {"split": "tset"}})
    raw["run"]["distil"] = {
        "backbones": ["nano"], "datasets": ["world"], "sources": ["world"], "methods": ["oti"], "losses": ["cosine"]
    }  # fmt: skip
    with pytest.raises(
        ParamsError,
        match=r"distil.oti.split: 'tset' is none of the splits read of 'world'; did you mean 'test'",
    ):
        loaded(tmp_path, raw)


def training(**more: object) -> dict:
    return {"backbone": "nano", "dataset": "world", **more}


def trained(name: str = "tuned", **more: object) -> dict:
    """Params with a training."""
    return good() | {"finetune": {name: training(**more)}}


def test_a_training_is_the_papers_but_for_what_is_given(tmp_path):
    recipe = loaded(tmp_path, trained(width=32)).finetune["tuned"]
    assert (recipe.width, recipe.epochs, recipe.batch_size, recipe.lr) == (32, 9, 64, 1e-6)
    assert (recipe.temperature, recipe.betas, recipe.weight_decay) == (0.01, (0.9, 0.99), 0.1)
    assert (recipe.schedule, recipe.losses, recipe.captions) == ("constant", {"clip": 1.0}, "first")


WRONG_TRAININGS = [
    ({"temperature": 0}, "finetune.tuned.temperature: Input should be greater than 0 (got 0)"),
    ({"batch_size": 1}, "finetune.tuned.batch_size: Input should be greater than or equal to 2 (got 1)"),
    (
        {"losses": {"clop": 1}},
        "finetune.tuned.losses: no loss clop; did you mean 'clip'?; known: clip, uniformity",
    ),
    ({"losses": {"clip": 0}}, "finetune.tuned.losses.clip: Input should be greater than 0 (got 0)"),
    ({"dataset": "flickr"}, "finetune.tuned.dataset: 'flickr' is not declared under datasets"),
    (
        {"dataset": "photos"},
        "finetune.tuned.dataset: 'photos' is not in run.datasets, so nothing of it is prepared",
    ),
    ({"backbone": "b16"}, "finetune.tuned.backbone: 'b16' is not declared under backbones"),
    ({"backbone": "tuned"}, "finetune.tuned.backbone: 'tuned' is made by finetune itself"),
    ({"augment": {"crop": 0.5}}, "finetune.tuned: augment, intra_modal_temperature: only of the loss `slip`"),
]


@pytest.mark.parametrize(("more", "message"), WRONG_TRAININGS, ids=[str(more) for more, _ in WRONG_TRAININGS])
def test_what_is_wrong_of_a_training_is_one_clear_message(tmp_path, more, message):
    with pytest.raises(ParamsError) as error:
        loaded(tmp_path, trained(**more))
    (line,) = str(error.value).splitlines()[1:]
    assert line.strip().startswith(message)


def test_what_a_training_makes_is_a_backbone_of_its_name(tmp_path):
    raw = trained() | {"pretrain": {"another": {"steps": 5}}}
    raw["backbones"]["nano"] |= {"oti": {"tokens": 3}, "ovi": {"patches": 4}}
    found = loaded(tmp_path, raw)
    for name in ("tuned", "another"):
        row = found.backbones[name]
        assert row.weights == Weights(model=f"local-dir:data/backbones/{name}")
        assert (row.oti.tokens, row.ovi.patches) == (3, 4)
    assert found.trained == {"tuned": "finetune", "another": "pretrain"}
    assert found.pretrained("another") == found.nano.model_copy(update={"steps": 5})


def test_rows_of_what_a_training_makes_are_refused(tmp_path):
    made = backbone(model="local-dir:data/backbones/tuned")
    raw = trained()
    raw["backbones"]["tuned"] = made
    with pytest.raises(
        ParamsError, match=r"backbones.tuned: finetune.tuned is this backbone; remove the row"
    ):
        loaded(tmp_path, raw)
    raw["backbones"] |= {"other": raw["backbones"].pop("tuned")}
    with pytest.raises(
        ParamsError, match=r"backbones.other: .* is made by finetune.tuned; use the backbone 'tuned'"
    ):
        loaded(tmp_path, raw)
    with pytest.raises(
        ParamsError, match=r"finetune.openai-b32: the catalogue has a backbone 'openai-b32'; name"
    ):
        loaded(tmp_path, trained("openai-b32"))
    with pytest.raises(
        ParamsError, match=r"pretrain.tuned: finetune makes a backbone of this name; name one"
    ):
        loaded(tmp_path, trained() | {"pretrain": {"tuned": {}}})
    raw = trained()
    raw["backbones"]["nano"]["weights"]["precision"] = "bf16"
    with pytest.raises(ParamsError, match=r"finetune.tuned.backbone: 'nano' has precision bf16"):
        loaded(tmp_path, raw)


def test_nothing_is_trained_on_texts_alone(tmp_path):
    raw = trained(dataset="reviews")
    raw["datasets"]["reviews"] = {
        "layout": "documents",
        "root": "reviews",
        "folders": {"test": "test"},
        "retrieval": {"query": "test"},
    }
    raw["run"]["datasets"].append("reviews")
    with pytest.raises(ParamsError, match=r"finetune.tuned.dataset: 'reviews' has no images to train on"):
        loaded(tmp_path, raw)
