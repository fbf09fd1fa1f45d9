"""params.yaml changed in its text, by crossgap and by DVC."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgap.params.editing import as_dvc_writes, comments, edited, entry, without_aliases
from crossgap.params.reading import ParamsError, parsed

OURS = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")


def lines_of(text: str, place: str) -> tuple[int, int]:
    """First and last line, from 0, of the value at a dotted place and its key, by the marks of PyYAML."""
    node = yaml.compose(text)
    for part in place.split("."):
        ((key, node),) = [(key, value) for key, value in node.value if key.value == part]
    last = node
    while isinstance(last, yaml.CollectionNode) and not last.flow_style:
        last = last.value[-1][1] if isinstance(last, yaml.MappingNode) else last.value[-1]
    return key.start_mark.line, last.end_mark.line


def test_the_file_is_short_and_has_neither_anchors_nor_keys_twice():
    assert len(OURS.splitlines()) <= 152
    assert without_aliases(OURS) == OURS
    assert not [token for token in yaml.scan(OURS) if isinstance(token, (yaml.AnchorToken, yaml.AliasToken))]
    assert as_dvc_writes(OURS) == OURS
    assert max(map(len, OURS.splitlines())) <= 120


SET = {
    "run.backbones": "[nano]",
    "run.datasets": "[world,cub]",
    "run.oti.datasets": "[]",
    "run.ovi.backbones": "[nano,nano-clip]",
    "run.seeds.seeds": "[3]",
    "run.imports": "[b32]",
    "finetune.nano-clip.silent_on": "[]",
    "finetune.nano-cuaxu.losses.alignment": "2",
    "finetune.nano-warm.projection_lr": "0.004",
    "idealised.world.run.width": "32",
    "idealised.world.architecture": "ViT-B-32",
    "oti.steps": "50",
    "oti.template": "'an image of {}'",
    "oti.snapshots": "[1,2]",
    "oti.gallery": "true",
    "ovi.steps": "7",
    "ovi.snapshots": "[]",
    "evaluate.shots": "[1]",
    "evaluate.draws": "9",
    "machine.batch_size": "16",
    "machine.ray.address": "auto",
    "backbones.nano.weights.sha256": "null",
    "datasets.world.images.test": "20",
    "datasets.world.controls.support": "test",
    "datasets.world.controls.subsets.two-shapes.shape": "[circle,triangle]",
}


@pytest.mark.parametrize("place", SET)
def test_dvc_changes_the_lines_of_a_value_that_is_set_and_no_other(place, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(OURS, encoding="utf-8")
    apply_overrides(path, [f"{place}={SET[place]}"])
    before, after = OURS.splitlines(), path.read_text(encoding="utf-8").splitlines()
    first, last = lines_of(OURS, place)
    assert before != after
    assert after[:first] == before[:first]
    behind = len(before) - last - 1
    assert after[len(after) - behind :] == before[last + 1 :]
    assert len(comments("\n".join(after) + "\n")) == len(comments(OURS))


def test_an_experiment_of_dvc_changes_one_line(tmp_path):
    """`dvc exp run -S` on the real file, with a stage that costs nothing."""
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "HOME": str(tmp_path)}
    environment |= {
        f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    (tmp_path / "p").mkdir()

    def ran(*words: str) -> str:
        return subprocess.run(
            words, cwd=tmp_path / "p", env=environment, check=True, capture_output=True, text=True
        ).stdout

    dvc = (sys.executable, "-m", "dvc")
    ran("git", "init", "-q")
    ran(*dvc, "init", "-q")
    (tmp_path / "p/params.yaml").write_text(OURS, encoding="utf-8")
    stages = {"made": {"cmd": "echo ${oti.steps} > made", "params": ["oti"], "outs": ["made"]}}
    (tmp_path / "p/dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    ran("git", "add", "-A")
    ran("git", "commit", "-qm", "state")
    ran(*dvc, "exp", "run", "-S", "oti.steps=50")
    changed = ran("git", "diff", "-U0", "--", "params.yaml").splitlines()
    assert [line for line in changed if line[0] in "+-" and line[:3] not in ("+++", "---")] == [
        "-  steps:",
        "+  steps: 50",
    ]


HELD = """\
# above
one:  # of one
  # in one
  a: 1  # of a
  list:
  - x
  - y
  # after the list

# above two
two: {b: [1, 2], c: null}  # of two
three: |
  a # is no comment

  text
# above four
four: 'it''s # not one'   # of four
five: {}
"""
CHANGES = {
    "a scalar": (("one", "a"), 2),
    "null": (("one", "a"), None),
    "a list": (("one", "list"), ["z"]),
    "no list": (("one", "list"), []),
    "a value in braces": (("two", "c"), 3),
    "another kind": (("two",), [1, {"b": 2}]),
    "a text of many lines": (("three",), "one\n"),
    "a quoted text": (("four",), "yes: no"),
    "what is empty": (("five",), {"k": {"l": [1], "m": "x" * 60, "n": "y" * 60}}),
    "what is new": (("one", "new"), {"p": 1.5}),
    "a new section": (("six",), [True, "1e3", "null"]),
}


@pytest.mark.parametrize(("place", "value"), CHANGES.values(), ids=CHANGES)
def test_a_changed_value_leaves_every_comment_and_all_else_as_it_was(place, value):
    wanted = parsed(HELD, "")
    at = wanted
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = value
    found = edited(HELD, wanted)
    assert parsed(found, "") == wanted
    assert [found[start:end] for start, end in comments(found)] == [
        HELD[start:end] for start, end in comments(HELD)
    ]
    assert len(set(HELD.splitlines()) - set(found.splitlines())) <= 5


def test_comments_are_told_from_what_looks_like_them():
    found = [HELD[start:end].removeprefix("# ") for start, end in comments(HELD)]
    assert found == [
        "above", "of one", "in one", "of a", "after the list", "above two", "of two", "above four", "of four"
    ]  # fmt: skip


def test_removed_entries_take_their_lines_and_no_more():
    wanted = parsed(HELD, "")
    del wanted["two"], wanted["one"]["list"]
    found = edited(HELD, wanted)
    assert parsed(found, "") == wanted
    gone = ["  list:", "  - x", "  - y", "two: {b: [1, 2], c: null}  # of two"]
    assert [line for line in HELD.splitlines() if line not in gone] == found.splitlines()


def test_what_is_written_in_a_way_that_cant_be_edited_stays_right():
    text = "base: &base {a: 1, b: 2}\nmerged:\n  <<: *base\n  b: 3\nlast: *base\n"
    now = parsed(text, "")
    assert now["merged"] == {"a": 1, "b": 3}
    wanted = {**now, "merged": {"a": 5, "b": 3}}
    assert parsed(edited(text, wanted), "") == wanted
    assert parsed(without_aliases(text), "") == now
    with pytest.raises(ParamsError, match="merges mappings"):
        edited("<<: {a: 1}\n", {"a": 2})


names = st.text("abcxyz019-_", min_size=1, max_size=6)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9999)
    | st.floats(0, 1).map(lambda x: round(x, 6))
    | st.text("ab1 :#{}[]-'\"&*!|>%@,.\\é", max_size=12)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(names, values, min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(mappings, mappings)
def test_anything_becomes_anything(now, wanted):
    text = (
        "# first\n"
        + "\n".join(line for name, value in now.items() for line in entry(name, value))
        + "\n# last\n"
    )
    assert parsed(text, "") == now
    refused = None
    try:
        found = edited(text, wanted)
    except ParamsError as error:
        refused = str(error)
    if refused is not None:
        # [:1], which YAML 1.1 can't read
        assert ":" in str(now) and "put in quotes what stands there" in refused
        return
    assert parsed(found, "") == wanted
    assert found.startswith("# first\n") and found.endswith("\n# last\n")
