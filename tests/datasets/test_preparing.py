"""What a declaration tells evaluation beside its items: controls and judgements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossgap.datasets.declared import Captions, Controls, DatasetError, ImageFolder, World
from crossgap.datasets.preparing import prepare

SAME = {"query": "test", "gallery": "test"}


def embedded(**controls) -> World:
    return World(layout="world", images={"train": 20, "test": 20}, retrieval=SAME, controls=controls)


@pytest.fixture
def root(tmp_path) -> Path:
    """Images `<split>/<class>/<number>.png`: two queries, four in the gallery."""
    rng = np.random.default_rng(0)
    for path in ("q/x/0", "q/y/1", "g/x/2", "g/x/3", "g/y/4", "g/y/5"):
        file = tmp_path / "root" / f"{path}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(file)
    return tmp_path / "root"


def judged(root: Path, text: str | None, **fields) -> ImageFolder:
    if text is not None:
        (root.parent / "j.csv").write_text(text)
        fields["judgements"] = root.parent / "j.csv"
    return ImageFolder(
        layout="imagefolder",
        root=root,
        splits=["q", "g"],
        retrieval={"query": "q", "gallery": "g"},
        vocabulary="none",
        **fields,
    )


ROWS = "query,item,grade\nq/x/0,g/x/2,2\nq/x/0,g/y/4,-1\nq/y/1,g/y/5,1\n"


def test_judgements_of_items_of_both_splits(root, tmp_path) -> None:
    found = prepare(judged(root, ROWS), tmp_path).judgements
    assert found.to_numpy().tolist() == [
        ["judged", "q/x/0", "g/x/2", 2],
        ["judged", "q/x/0", "g/y/4", -1],
        ["judged", "q/y/1", "g/y/5", 1],
    ]
    assert prepare(judged(root, None), tmp_path).judgements is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("g/x/2,g/x/3,1", r"no item of the query split .*line 5 \(g/x/2, g/x/3, 1\)"),
        ("q/x/0,q/y/1,1", r"no item of the gallery split .*line 5 \(q/x/0, q/y/1, 1\)"),
        ("q/x/0,g/x/2,1", r"judged twice.*line 2 .*line 5 "),
    ],
)
def test_judgements_that_do_not_fit_the_splits(root, tmp_path, row, message) -> None:
    with pytest.raises(DatasetError, match=message) as error:
        prepare(judged(root, f"{ROWS}{row}\n"), tmp_path)
    assert "j.csv: judgements can't be used" in str(error.value)


def test_judgements_of_items_set_aside_go_with_them(root, tmp_path) -> None:
    (root / "g/y/4.png").write_bytes(b"")
    found = prepare(judged(root, ROWS, on_problem="set_aside"), tmp_path)
    assert found.problems["id"].tolist() == ["g/y/4"]
    assert found.judgements["item"].tolist() == ["g/x/2", "g/y/5"]


def test_a_cap_and_judgements_exclude_each_other(root) -> None:
    with pytest.raises(
        ValueError, match="max_images would leave out judged items: remove it, or `judgements`"
    ):
        judged(root, ROWS, max_images=3)


def test_a_relevance_has_a_name_of_its_own(root, tmp_path) -> None:
    text = "query,item,grade,setting\nq/x/0,g/x/2,2,{}\n"
    controls = {"subsets": {"both": {"class": ["x", "y"]}}}
    assert (
        prepare(judged(root, text.format("hard"), controls=controls), tmp_path).judgements["setting"][0]
        == "hard"
    )
    for name in ("class", "group", "both"):
        with pytest.raises(
            DatasetError, match=f"relevances named twice: {name}: labellings, subsets and settings"
        ):
            prepare(judged(root, text.format(name), controls=controls), tmp_path)


def test_controls_of_the_world(tmp_path) -> None:
    subsets = {"two-shapes": {"shape": ["circle", "square"]}}
    declaration = embedded(support="train", subsets=subsets)
    assert prepare(declaration, tmp_path).judgements is None
    assert declaration.controls == Controls(
        support="train", subsets=subsets, protocol="plain", published=None
    )


@pytest.mark.parametrize(
    ("subsets", "message"),
    [
        (
            {"two": {"form": ["a", "b"]}},
            "controls.subsets.two: no labelling 'form'; labellings: background, colour",
        ),
        (
            {"two": {"shape": ["circle", "box"]}},
            "controls.subsets.two: shape has no class box; it has circle, cresc",
        ),
        ({"colour": {"shape": ["circle", "square"]}}, "relevances named twice: colour"),
    ],
)
def test_subsets_of_what_is_not_there(tmp_path, subsets, message) -> None:
    with pytest.raises(DatasetError, match=message):
        prepare(embedded(subsets=subsets), tmp_path)


def test_arithmetic_is_asked_of_labellings_with_prompts(tmp_path) -> None:
    arithmetic = {"colour": "shape", "shape": "colour"}
    assert prepare(embedded(arithmetic=arithmetic), tmp_path).transformations is None  # made at evaluation


@pytest.mark.parametrize(
    ("arithmetic", "message"),
    [
        ({"form": "shape"}, "controls.arithmetic.form: no labelling 'form'; labellings: background, colour"),
        ({"shape": "form"}, "controls.arithmetic.shape: no labelling 'form'; labellings: background, colour"),
    ],
)
def test_arithmetic_of_what_is_not_there(tmp_path, arithmetic, message) -> None:
    with pytest.raises(DatasetError, match=message):
        prepare(embedded(arithmetic=arithmetic), tmp_path)


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({"arithmetic": {"a": "a"}}, "'a' can't be changed and kept: name another labelling"),
        ({"arithmetic": {"simat": "a"}}, "'simat' is SIMAT's own arithmetic"),
        ({"subsets": {"two": {}}}, "'two' names the labellings none: give one, with its classes"),
        (
            {"subsets": {"two": {"a": ["x", "y"], "b": ["x", "y"]}}},
            "'two' names the labellings a, b: give one",
        ),
        ({"subsets": {"two": {"a": ["x"]}}}, "'two' names the classes x of 'a': give two or more, each once"),
        ({"subsets": {"two": {"a": ["x", "y", "x"]}}}, "give two or more, each once"),
        ({"subsets": {"group": {"a": ["x", "y"]}}}, "'group' is a relevance already"),
        ({"subsets": {"a": {"a": ["x", "y"]}}}, "'a' is a relevance already"),
        ({"subsets": {"a/b": {"a": ["x", "y"]}}}, "should match pattern"),
        ({"protocol": "revised"}, "'plain' or 'revisited'"),
        ({"support": "val"}, "controls.support: 'val' is none of the splits read"),
        ({"subset": {}}, "Extra inputs"),
    ],
)
def test_controls_that_say_nothing(controls, message) -> None:
    with pytest.raises(ValueError, match=message):
        embedded(**controls)


def test_support_needs_images(root, tmp_path) -> None:
    (tmp_path / "c.csv").write_text("image,caption,split\nx/0.png,one,a\ny/1.png,two,b\n")
    fields = {"layout": "captions", "root": root / "q", "captions": tmp_path / "c.csv", "vocabulary": "none"}
    retrieval = {"query": "a", "gallery": "b"}
    prepare(Captions(**fields, retrieval=retrieval, controls={"support": "b"}), tmp_path)
    with pytest.raises(DatasetError, match=r"controls.support: split 'c' .* has no images; splits: a, b"):
        prepare(Captions(**fields, retrieval=retrieval, controls={"support": "c"}), tmp_path)


def test_judgements_of_items_that_there_are_not_are_set_aside_and_listed(root, tmp_path) -> None:
    rows = f"{ROWS}q/x/0,g/x/9,1\nq/z/0,g/x/2,1\n"
    found = prepare(judged(root, rows, on_problem="set_aside"), tmp_path)
    assert len(found.judgements) == 3
    assert found.problems[["id", "item"]].to_numpy().tolist() == [
        ["q/x/0 g/x/9", "judgement q/x/0, g/x/9"],
        ["q/z/0 g/x/2", "judgement q/z/0, g/x/2"],
    ]
    with pytest.raises(DatasetError, match=r"line 5 \(q/x/0, g/x/9, 1\)[^$]*on_problem: set_aside"):
        prepare(judged(root, rows), tmp_path)
    with pytest.raises(DatasetError, match="there are none"):
        prepare(judged(root, "query,item,grade\nq/x/0,g/x/9,1\n", on_problem="set_aside"), tmp_path)
