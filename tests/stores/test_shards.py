from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from crossgap.stores import shards, store, temporary


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


def _truncate(data: Path) -> None:
    data.write_bytes(data.read_bytes()[:-3])


def _lengthen(data: Path) -> None:
    data.write_bytes(data.read_bytes() + b"more")


def _flip_a_bit(data: Path) -> None:
    content = bytearray(data.read_bytes())
    content[-5] ^= 1
    data.write_bytes(content)


def _empty(data: Path) -> None:
    data.write_bytes(b"")


def _foreign(data: Path) -> None:
    save_file({"value": np.zeros((4, 2), np.float32)}, data)


def _claim_other_keys(data: Path) -> None:
    with safe_open(data, "np") as file:
        arrays = {name: file.get_tensor(name) for name in ("value", "size")}
        said = {**file.metadata(), "keys": json.dumps(["another", *_keys(data)[1:]])}
    save_file(arrays, data, said)


DAMAGES = [_truncate, _lengthen, _flip_a_bit, _empty, _foreign, _claim_other_keys]


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
    assert not victim.exists() and run(KEYS, tmp_path)[0] == []


def _keys(data: Path) -> list[str]:
    with safe_open(data, "np") as file:
        return json.loads(file.metadata()["keys"])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_flipped_bit_and_no_cut_goes_unnoticed(data) -> None:
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, done = run(KEYS[:4], scratch)
        (path,) = done.folder.glob("*.safetensors")
        content = bytearray(path.read_bytes())
        header = 8 + int.from_bytes(content[:8], "little")
        first, last = data.draw(st.sampled_from([(0, 7), (8, header - 1), (header, len(content) - 1)]))
        at = data.draw(st.integers(first, last))
        if data.draw(st.booleans()):
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        else:
            del content[at:]
        path.write_bytes(content)
        assert shards.Shards.of(scratch, {"seed": 0}).missing(KEYS[:4]) == [0, 1, 2, 3]
        assert not path.exists()


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path) -> None:
    _, done = run(KEYS, tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = temporary._HOST
    names = {
        "of a dead process": f"ab.safetensors.{host}.{ended.pid}.0123abcd.tmp",
        "of an earlier process of our id": f"ab.safetensors.{host}.{os.getpid()}.0123abcd.tmp",
        "of a living process": f"ab.safetensors.{host}.{os.getppid()}.0123abcd.tmp",
        "of another host": f"ab.safetensors.not-{host}.{ended.pid}.0123abcd.tmp",
        "of no process": "notes.tmp",
    }
    for name in names.values():
        (done.folder / name).write_bytes(b"half")
    assert run(KEYS, tmp_path)[0] == []
    stay = {whose for whose, name in names.items() if (done.folder / name).exists()}
    assert stay == {"of a living process", "of another host", "of no process"}


def test_a_shard_that_nobody_may_read_is_an_error_and_stays(tmp_path, monkeypatch) -> None:
    _, done = run(KEYS, tmp_path)

    def refuses(path, framework):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("safetensors.safe_open", refuses)
    with pytest.raises(PermissionError):
        run(KEYS, tmp_path)
    assert len(list(done.folder.glob("*.safetensors"))) == 3


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


def test_shards_of_other_arrays_are_not_put_together(tmp_path) -> None:
    done = shards.Shards.of(tmp_path, {})
    done.put(["a"], {"x": np.zeros(1)})
    done.put(["b"], {"x": np.zeros(1), "y": np.ones(1)})
    with pytest.raises(ValueError, match=r"holds \['x', 'y'\], other shards \['x'\]"):
        done.gather(["a", "b"])


def test_what_is_there_is_counted_once_an_item(tmp_path, capsys) -> None:
    run(["a", "b"], tmp_path)
    run(["a", "a", "b", "b", "c"], tmp_path)
    assert "items: 2 of 3 items are there" in capsys.readouterr().err


def test_blocks_are_consecutive_and_cover_everything(tmp_path) -> None:
    _, done = run(KEYS, tmp_path, size=3)
    blocks = list(done.blocks(KEYS[::-1], 4))
    assert [len(block["value"]) for block in blocks] == [4, 4, 2]
    joined = np.concatenate([block["value"] for block in blocks])
    np.testing.assert_array_equal(joined, np.stack([row(key) for key in KEYS[::-1]]))


def test_only_the_arrays_asked_for_are_read(tmp_path) -> None:
    _, done = run(KEYS, tmp_path)
    blocks = list(done.blocks(KEYS, 6, only=["size"]))
    assert [list(block) for block in blocks] == [["size"], ["size"]]
    assert np.concatenate([block["size"] for block in blocks]).tolist() == [len(key) for key in KEYS]


def test_blocks_in_order_open_each_shard_once_a_block_and_hold_none(tmp_path, monkeypatch) -> None:
    keys = [f"{number:04}" for number in range(1000)]
    _, done = run(keys, tmp_path, size=100)
    opened, read = [], shards._read
    monkeypatch.setattr(shards, "_read", lambda path, *more: (opened.append(path), read(path, *more))[1])
    assert sum(len(block["value"]) for block in done.blocks(keys, 250)) == 1000
    assert len(opened) == 12
    assert not any(isinstance(held, np.ndarray) for held in vars(done).values())


def test_rows_that_lie_far_apart_in_a_shard_come_right(tmp_path) -> None:
    keys = [f"{number:04}" for number in range(1000)]
    _, done = run(keys, tmp_path, size=600)
    check(done, [keys[number] for number in (999, 0, 599, 600, 599, 300, 301, 2)])


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


WARM = """
import json, os, resource, signal, sys, time
import numpy as np
from crossgap.stores import shards, store

ended_by = []

def end(number, _):
    ended_by.append(number)
    sys.exit(128 + number)

def job(scratch, path, log, size=6, pause=0.004, file_limit=None, tidy=False):
    if tidy:  # as stages do
        signal.signal(signal.SIGTERM, end)
    if file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))
    keys = [f"item-{number:03}" for number in range(60)]

    def work(cuts, advance):
        for cut in cuts:
            names = [keys[position] for position in cut]
            with open(log, "a") as file:
                file.writelines(name + "\\n" for name in names)
            time.sleep(pause)
            yield {"features": np.stack([np.random.default_rng(int(n[5:])).normal(size=200) for n in names])}

    done = shards.compute(keys, work, scratch, {"seed": 0}, size=size)
    with store.creating(path, scratch, {"made": "of keys"}) as writer:
        writer.add("image/test", {"id": np.array(keys, object)}, done.blocks(keys, 7))

for line in sys.stdin:
    process = os.fork()
    if not process:
        try:
            job(**json.loads(line))
        except SystemExit as exit:
            os._exit(exit.code)
        except Exception as error:
            if ended_by:  # as stages do
                os._exit(128 + ended_by[0])
            if not isinstance(error, OSError):
                raise
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


class Warm:
    """A process that has imported everything and forks a child for each job: sixty items, shards, then a store."""

    def __init__(self, folder: Path) -> None:
        self.said = (folder / "said").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", WARM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "TQDM_DISABLE": "1"},
        )

    def start(self, folder: Path, name: str = "store.zip", **more) -> int:
        places = {"scratch": folder / "scratch", "path": folder / name, "log": folder / "log"}
        job = {**{place: str(path) for place, path in places.items()}, **more}
        print(json.dumps(job), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def ended(self) -> int:
        """The exit status of the job, a signal's number negated."""
        return int(self.process.stdout.readline())

    def words(self) -> str:
        """What jobs have said on stderr so far."""
        self.said.seek(0)
        return self.said.read()


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> Iterator[list[Warm]]:
    """Two of them."""
    made = [Warm(tmp_path_factory.mktemp("warm")) for _ in range(2)]
    yield made
    for each in made:
        each.process.stdin.close()
        each.process.wait()
        each.process.stdout.close()
        each.said.close()


@pytest.fixture(scope="module")
def undisturbed(warm, tmp_path_factory) -> tuple[bytes, float]:
    """The store's bytes of a run that nothing disturbs, and how long it takes."""
    lives = []
    for _ in range(3):  # the first is slower
        folder = tmp_path_factory.mktemp("undisturbed")
        start = time.monotonic()
        warm[0].start(folder)
        assert warm[0].ended() == 0
        lives.append(time.monotonic() - start)
    return (folder / "store.zip").read_bytes(), min(lives)


@pytest.mark.parametrize(
    ("number", "tidy", "expected"),
    [(signal.SIGKILL, False, -9), (signal.SIGTERM, True, 143)],
    ids=["kill -9", "SIGTERM"],
)
def test_thirty_kills_at_any_moment_change_no_byte(
    warm, undisturbed, tmp_path, number, tidy, expected
) -> None:
    rng = random.Random(f"{number} {tidy}")
    folder, scratch, log = tmp_path / "run", tmp_path / "run/scratch", tmp_path / "run/log"
    whole, life = undisturbed
    kills = in_assembling = littered = 0
    while kills < 30:
        folder.mkdir()
        killed = 0
        while True:
            process = warm[0].start(folder, tidy=tidy)
            if killed % 2:
                time.sleep(rng.uniform(0, life))
            else:  # the store takes a small part of a life
                while not list(scratch.glob("assembling*")) and psutil.pid_exists(process):
                    time.sleep(0.0005)
                time.sleep(rng.uniform(0, life / 8))
            if killed < 12:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
            ended = warm[0].ended()
            assert ended in (0, expected, -number), warm[0].words()  # the last: before a handler is there
            if ended == 0:
                break
            killed += 1
            littered += bool(list(folder.rglob("*.tmp")))
            in_assembling += bool(list(scratch.glob("assembling*")))
        assert (folder / "store.zip").read_bytes() == whole
        assert list(folder.rglob("*.tmp")) == []
        computed = log.read_text().split()
        assert set(computed) == {f"item-{n:03}" for n in range(60)}
        assert len(computed) <= 60 + 6 * killed, "more than a shard a kill was computed again"
        kills += killed
        shutil.rmtree(folder)
    assert littered < kills / 2 if tidy else in_assembling > 0


def test_two_processes_in_one_folder_both_end_right(warm, undisturbed, tmp_path) -> None:
    rng = random.Random(0)
    whole, life = undisturbed
    for attempt in range(12):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        first = warm[0].start(folder, "one.zip")
        time.sleep(rng.uniform(0, life / 2))
        warm[1].start(folder, "two.zip", size=rng.choice([5, 6, 7]))
        if attempt % 2:  # one of them is killed, and its successor finds files of a living process
            time.sleep(rng.uniform(0, life / 2))
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGKILL)
            if warm[0].ended():
                warm[0].start(folder, "one.zip", size=5)
                assert warm[0].ended() == 0
        else:
            assert warm[0].ended() == 0
        assert warm[1].ended() == 0
        assert (folder / "one.zip").read_bytes() == (folder / "two.zip").read_bytes() == whole
        check_nothing_left(folder)


def check_nothing_left(folder: Path) -> None:
    shards.Shards.of(folder / "scratch", {"seed": 0})
    temporary.remove_leftovers(folder / "scratch")
    assert list(folder.rglob("*.tmp")) == []


def test_a_file_that_may_not_grow_is_an_error_that_says_how_much_it_needs(
    warm, undisturbed, tmp_path
) -> None:
    whole, _ = undisturbed
    warm[0].start(tmp_path, file_limit=8000)
    assert warm[0].ended() == 1
    said = warm[0].words()
    assert "DiskFullError: no room for" in said and ".safetensors of 9.8" in said, said
    assert "what is whole is kept: raise the limit of a file's size (`ulimit -f`) and run it again" in said
    check_nothing_left(tmp_path)
    warm[0].start(tmp_path, file_limit=len(whole) - 100)
    assert warm[0].ended() == 1
    assert f"no room for {tmp_path}/store.zip of" in warm[0].words()
    check_nothing_left(tmp_path)
    assert not (tmp_path / "store.zip").exists()
    computed = (tmp_path / "log").read_text().split()
    warm[0].start(tmp_path)
    assert warm[0].ended() == 0
    assert (tmp_path / "store.zip").read_bytes() == whole
    assert (tmp_path / "log").read_text().split() == computed, "all shards were whole"


def test_a_full_disk_keeps_what_is_whole_and_the_next_run_goes_on(disk) -> None:
    keys = [f"{number:03}" for number in range(40)]
    rows = {key: np.random.default_rng(int(key)).normal(size=2000).astype(np.float32) for key in keys}
    computed = []

    def work(cuts, advance):
        for cut in cuts:
            computed.extend(keys[position] for position in cut)
            yield {"features": np.stack([rows[keys[position]] for position in cut])}

    def attempt() -> None:
        done = shards.compute(keys, work, disk.path / "scratch", {}, size=4)
        with store.creating(disk.path / "s.zip", disk.path / "scratch", {}) as writer:
            writer.add("image/test", {"id": np.array(keys, object)}, done.blocks(keys))

    with pytest.raises(temporary.DiskFullError, match=r"no room for .*safetensors of 32\.\d kB.* free under"):
        attempt()
    assert list(disk.path.rglob("*.tmp")) == []
    whole = len(list(disk.path.rglob("*.safetensors")))
    assert whole == len(computed) // 4 - 1 >= 5
    disk.remount("size=450k")
    with pytest.raises(temporary.DiskFullError, match=r"no room for .*s\.zip"):
        attempt()
    assert computed == [*keys[: 4 * whole + 4], *keys[4 * whole :]]
    assert list(disk.path.rglob("*.tmp")) == [] and not (disk.path / "s.zip").exists()
    disk.remount("size=2m")
    attempt()
    assert len(computed) == 44
    np.testing.assert_array_equal(
        store.open_store(disk.path / "s.zip")["image/test"].features, np.stack(list(rows.values()))
    )


def test_the_first_item_of_each_key_is_missing_in_ascending_order(tmp_path):
    done = shards.Shards.of(tmp_path, {})
    assert done.missing(["a", "b", "a", "c", "b"]) == [0, 1, 3]


def test_a_shard_whose_array_is_said_to_have_another_shape_is_not_whole(tmp_path):
    done = shards.Shards.of(tmp_path, {})
    done.put(["a", "b"], {"features": np.arange(12, dtype=np.float32).reshape(2, 6)})
    (path,) = tmp_path.rglob("*.safetensors")
    assert shards.keys_of_whole(path) == ["a", "b"]
    content = path.read_bytes()
    assert content.count(b"[2,6]") == 1
    path.write_bytes(content.replace(b"[2,6]", b"[4,3]"))
    assert shards.keys_of_whole(path) is None
