from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgap import shards


def row(key: str) -> np.ndarray:
    """What the work makes of an item: a function of its key alone."""
    return np.array([len(key), sum(key.encode()) / 7], np.float32)


class Work:
    """Computes `row` of each key and remembers which; dies before shard number `dies_at`, if given."""

    def __init__(self, keys: list[str], dies_at: int | None = None) -> None:
        self.keys, self.dies_at, self.computed = keys, dies_at, []

    def __call__(self, cuts, advance):
        for number, cut in enumerate(cuts):
            if number == self.dies_at:
                raise RuntimeError("the machine went away")
            names = [self.keys[position] for position in cut]
            self.computed += names
            advance(len(cut))
            yield {
                "value": np.stack([row(name) for name in names]),
                "size": np.array([len(n) for n in names]),
            }


def run(keys, scratch, recipe=None, size=4, dies_at=None) -> tuple[list[str], shards.Shards]:
    work = Work(list(keys), dies_at)
    done = shards.compute(keys, work, scratch, recipe or {"seed": 0}, size=size)
    return work.computed, done


def check(done: shards.Shards, keys) -> None:
    found = done.gather(keys)
    np.testing.assert_array_equal(found["value"], np.stack([row(key) for key in keys]))
    assert found["value"].dtype == np.float32 and found["size"].tolist() == [len(key) for key in keys]


KEYS = [f"item-{number:03}" for number in range(10)]


def test_what_was_whole_when_a_run_died_is_not_computed_again(tmp_path) -> None:
    work = Work(KEYS, dies_at=2)
    with pytest.raises(RuntimeError, match="went away"):
        shards.compute(KEYS, work, tmp_path, {"seed": 0}, size=4)
    assert work.computed == KEYS[:8]
    computed, done = run(KEYS, tmp_path)
    assert computed == KEYS[8:]
    check(done, KEYS)
    assert run(KEYS, tmp_path)[0] == []


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from crossgap import shards

scratch, log = sys.argv[1:]
keys = [f"item-{number:03}" for number in range(10)]

def work(cuts, advance):
    for cut in cuts:
        with open(log, "a") as file:
            file.writelines(keys[position] + "\\n" for position in cut)
        if len(cuts) == 5 and cut[0] == 4:
            time.sleep(600)  # in the middle of the third shard, until it is killed
        names = [keys[position] for position in cut]
        yield {
            "value": np.array([[len(n), sum(n.encode()) / 7] for n in names], np.float32),
            "size": np.array([len(n) for n in names]),
        }

shards.compute(keys, work, scratch, {"seed": 0}, size=2)
"""


def test_a_process_killed_in_the_middle_of_a_shard_leaves_the_shards_before_it(tmp_path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "scratch"), str(log)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (log.exists() and "item-004" in log.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list((tmp_path / "scratch").rglob("*.done"))) == 2
    log.unlink()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert log.read_text().split() == KEYS[4:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(shards.Shards.of(tmp_path / "scratch", {"seed": 0}), KEYS)


def _truncate(data: Path) -> None:
    data.write_bytes(data.read_bytes()[:-3])


def _flip_a_bit(data: Path) -> None:
    content = bytearray(data.read_bytes())
    content[-5] ^= 1
    data.write_bytes(content)


def _empty(data: Path) -> None:
    data.write_bytes(b"")


def _unmark(data: Path) -> None:
    data.with_suffix(".done").unlink()


def _cut_the_marker(data: Path) -> None:
    marker = data.with_suffix(".done")
    marker.write_text(marker.read_text()[:-2])


def _foreign_marker(data: Path) -> None:
    data.with_suffix(".done").write_text("[1, 2]")


DAMAGES = [_truncate, _flip_a_bit, _empty, _unmark, _cut_the_marker, _foreign_marker]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_shard_that_is_not_whole_is_thrown_away_by_name_and_computed_again(tmp_path, damage) -> None:
    _, done = run(KEYS, tmp_path)
    victim = next(path for path in done.folder.glob("*.safetensors") if KEYS[5] in _keys(path))
    damage(victim)
    with pytest.warns(UserWarning, match="threw away") as caught:
        computed, done = run(KEYS, tmp_path)
    assert victim.name in str(caught[0].message) and len(caught) == 1
    assert computed == KEYS[4:8]
    check(done, KEYS)
    assert victim.exists() and run(KEYS, tmp_path)[0] == []


def _keys(data: Path) -> list[str]:
    return json.loads(data.with_suffix(".done").read_text())["keys"]


def test_files_left_half_written_are_removed(tmp_path) -> None:
    _, done = run(KEYS, tmp_path)
    leftover = done.folder / "0123.safetensors.77.tmp"
    leftover.write_bytes(b"half")
    assert run(KEYS, tmp_path)[0] == []
    assert not leftover.exists()


def test_a_grown_and_reordered_dataset_computes_its_new_items_only(tmp_path) -> None:
    run(KEYS, tmp_path)
    grown = ["new-a", *KEYS[::-1], "new-b"]
    computed, done = run(grown, tmp_path, size=3)
    assert computed == ["new-a", "new-b"]
    check(done, grown)
    computed, done = run(KEYS[3:6], tmp_path)
    assert computed == []
    check(done, KEYS[3:6])


def test_equal_keys_are_computed_once(tmp_path) -> None:
    keys = ["a", "bb", "a", "a", "ccc", "bb"]
    computed, done = run(keys, tmp_path, size=2)
    assert computed == ["a", "bb", "ccc"]
    check(done, keys)


def test_shards_of_another_recipe_are_never_seen(tmp_path) -> None:
    run(KEYS, tmp_path, {"seed": 0})
    computed, done = run(KEYS, tmp_path, {"seed": 1})
    assert computed == KEYS
    assert done.missing(KEYS) == []
    assert shards.Shards.of(tmp_path, {"seed": 2}).missing(KEYS) == list(range(10))
    # a recipe written in another order of keys is the same recipe
    run(KEYS, tmp_path, {"a": 1, "b": 2})
    assert run(KEYS, tmp_path, {"b": 2, "a": 1})[0] == []


def test_work_that_gives_too_few_rows_or_shards_is_an_error(tmp_path) -> None:
    def short(cuts, advance):
        for cut in cuts:
            yield {"value": np.zeros((len(cut) - 1, 2))}

    def stops(cuts, advance):
        yield {"value": np.zeros((len(cuts[0]), 2))}

    with pytest.raises(ValueError, match=r"a shard of 4 items was given 3 rows of 'value'"):
        shards.compute(KEYS, short, tmp_path / "short", {}, size=4)
    with pytest.raises(ValueError):
        shards.compute(KEYS, stops, tmp_path / "stops", {}, size=4)


def test_blocks_are_consecutive_and_cover_everything(tmp_path) -> None:
    _, done = run(KEYS, tmp_path, size=3)
    blocks = list(done.blocks(KEYS[::-1], 4))
    assert [len(block["value"]) for block in blocks] == [4, 4, 2]
    joined = np.concatenate([block["value"] for block in blocks])
    np.testing.assert_array_equal(joined, np.stack([row(key) for key in KEYS[::-1]]))


def test_nothing_to_do_asks_for_no_work(tmp_path) -> None:
    def refuses(cuts, advance):
        raise AssertionError("called")

    done = shards.compute([], refuses, tmp_path, {}, size=4)
    assert done.missing([]) == [] and list(done.blocks([], 4)) == []


NAMES = st.text(st.characters(codec="utf-8"), max_size=5)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(NAMES, min_size=1, max_size=12), st.lists(st.integers(1, 7), min_size=1, max_size=3), st.data()
)
def test_no_result_depends_on_shard_size_order_or_interruption(keys, sizes, data) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        computed = []
        for size in sizes:
            order = data.draw(st.permutations(keys))[: data.draw(st.integers(1, len(keys)))]
            dies_at = data.draw(st.none() | st.integers(0, 3))
            work = Work(order, dies_at)
            with contextlib.suppress(RuntimeError):
                shards.compute(order, work, scratch, {"seed": 0}, size=size)
            computed += work.computed
        more, done = run(keys, scratch, size=sizes[0])
        computed += more
        check(done, keys)
        assert sorted(computed) == sorted(set(keys))
