from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from crossgap import machine
from crossgap.stores import engines, shards

KEYS = [f"item-{number:03}" for number in range(23)]
pytestmark = pytest.mark.slow


def row(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=3).astype(np.float32)


class Squares:
    """Sums of squares, row by row; told by markers in a folder to be slow, to die or to fail at an item."""

    def __init__(self, folder: Path | None = None, device: str = "here") -> None:
        self.folder, self.device = folder, device

    def to(self, device: str) -> Squares:
        return Squares(self.folder, device)

    def __call__(self, payload: np.ndarray, advance) -> shards.Arrays:
        names, rows = payload
        for name in names:
            self._obey(name)
        rows *= rows  # payloads are the function's own to write to
        advance(len(rows))
        return {
            "value": rows.sum(axis=1),
            "device": np.array([len(self.device)] * len(rows)),
            "process": np.array([os.getpid()] * len(rows)),
        }

    def _obey(self, name: str) -> None:
        if self.folder is None:
            return
        if (self.folder / f"fail {name}").exists():
            raise FloatingPointError(f"{name} can't be squared")
        if (self.folder / f"die {name}").exists():
            if not (self.folder / "always").exists():
                (self.folder / f"die {name}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if (self.folder / f"wait {name}").exists():
            (self.folder / f"wait {name}").write_text(str(os.getpid()))
            time.sleep(1.5)


def read(cut: list[int]) -> tuple[list[str], np.ndarray]:
    return [KEYS[number] for number in cut], np.stack([row(number) for number in cut])


def run(engine, folder: Path, function=None, size: int = 4) -> tuple[shards.Arrays, int]:
    """What was computed of KEYS and how many items progress was told of."""
    told = []

    def work(cuts, advance):
        return engine.work(read, function or Squares())(cuts, lambda n: (told.append(n), advance(n)))

    done = shards.compute(KEYS, work, folder / "scratch", {}, size=size)
    return done.gather(KEYS), sum(told)


EXPECTED = np.stack([(row(number) ** 2).sum() for number in range(len(KEYS))])


@pytest.fixture(scope="module")
def ray_engine():
    """Two workers of a cluster of this machine, which all tests share: it takes seconds to start."""
    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    engine = engines.Ray(workers=2)
    yield engine
    engine.close()
    assert not ray.is_initialized()


def test_local_computes_in_this_process_on_the_functions_own_device(tmp_path) -> None:
    found, told = run(engines.Local(), tmp_path)
    np.testing.assert_array_equal(found["value"], EXPECTED)
    assert set(found["process"]) == {os.getpid()} and set(found["device"]) == {len("here")}
    assert told == len(KEYS)


@pytest.mark.parametrize("size", [1, 4, 100])
def test_ray_gives_what_local_gives(tmp_path, ray_engine, size) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    found, told = run(ray_engine, tmp_path, size=size)
    np.testing.assert_array_equal(found["value"], EXPECTED)
    processes = set(found["process"])
    assert os.getpid() not in processes and 1 <= len(processes) <= 2
    assert set(found["device"]) <= {len("cpu"), len("cuda")}
    assert told == len(KEYS)
    assert signal.getsignal(signal.SIGTERM) == handler


def test_results_keep_the_order_of_the_cuts_and_few_are_in_flight(tmp_path, ray_engine) -> None:
    (tmp_path / f"wait {KEYS[0]}").touch()
    cuts, asked = [[number] for number in range(len(KEYS))], []

    def remember(cut):
        asked.append(cut[0])
        return read(cut)

    results = ray_engine.work(remember, Squares(tmp_path))(cuts, lambda items: None)
    np.testing.assert_array_equal(next(results)["value"], EXPECTED[:1])
    assert asked == list(range(4)), "two a worker, while the first keeps all waiting"
    np.testing.assert_array_equal([result["value"][0] for result in results], EXPECTED[1:])


@pytest.mark.parametrize("many", [1, 3])
def test_what_a_dead_worker_had_is_computed_again(tmp_path, ray_engine, many) -> None:
    for name in KEYS[2::7][:many]:
        (tmp_path / f"die {name}").touch()
    found, told = run(ray_engine, tmp_path, Squares(tmp_path))
    np.testing.assert_array_equal(found["value"], EXPECTED)
    assert told == len(KEYS) and not list(tmp_path.glob("die *"))


def test_a_worker_killed_from_outside_is_replaced(tmp_path, ray_engine) -> None:
    marker = tmp_path / f"wait {KEYS[1]}"
    marker.touch()
    results = ray_engine.work(read, Squares(tmp_path))([[n] for n in range(len(KEYS))], lambda items: None)
    found = [next(results)["value"][0]]
    deadline = time.monotonic() + 20
    while not (victim := marker.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    marker.unlink()  # whoever computes it next doesn't wait
    os.kill(int(victim), signal.SIGKILL)
    rest = list(results)
    np.testing.assert_array_equal(found + [result["value"][0] for result in rest], EXPECTED)
    assert int(victim) not in {int(result["process"][0]) for result in rest}


def test_a_cut_that_kills_every_worker_is_given_up(tmp_path, ray_engine) -> None:
    for marker in (f"die {KEYS[9]}", "always"):
        (tmp_path / marker).touch()
    with pytest.raises(engines.EngineError, match=r"died at one shard, 4 times in \d+ s.*smaller batches"):
        run(engines.Ray(patience=0), tmp_path, Squares(tmp_path))
    for marker in list(tmp_path.glob("die *")):
        marker.unlink()
    found, _ = run(ray_engine, tmp_path, Squares(tmp_path))
    np.testing.assert_array_equal(found["value"], EXPECTED)


def test_an_exception_in_a_worker_arrives_as_itself(tmp_path, ray_engine) -> None:
    (tmp_path / f"fail {KEYS[6]}").touch()
    with pytest.raises(FloatingPointError, match=rf"^{KEYS[6]} can't be squared$") as caught:
        run(ray_engine, tmp_path, Squares(tmp_path))
    assert type(caught.value) is FloatingPointError
    (tmp_path / f"fail {KEYS[6]}").unlink()
    found, told = run(ray_engine, tmp_path, Squares(tmp_path))
    np.testing.assert_array_equal(found["value"], EXPECTED)
    assert told < len(KEYS), "whole shards are kept"


class Mortal(Squares):
    """Dies at a start or at an item as often as its marker says."""

    def to(self, device: str) -> Mortal:
        self._count_down("start")
        return Mortal(self.folder, device)

    def _obey(self, name: str) -> None:
        self._count_down(name)

    def _count_down(self, name: str) -> None:
        marker = self.folder / f"deaths at {name}"
        if marker.exists() and (left := int(marker.read_text())):
            marker.write_text(str(left - 1))
            # what it finished before is told by then, else the death would count against that
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)


def test_deaths_here_and_there_end_no_run(tmp_path, ray_engine) -> None:
    """As many in all as end the run at one cut; at all of them the second cut was in flight."""
    markers = [tmp_path / f"deaths at {key}" for key in KEYS[:2]]
    for marker, deaths in zip(markers, (engines.ATTEMPTS - 1, 1), strict=True):
        marker.write_text(str(deaths))
    work = engines.Ray(workers=1, patience=0).work(read, Mortal(tmp_path))
    results = work([[n] for n in range(3)], lambda items: None)
    np.testing.assert_array_equal([result["value"][0] for result in results], EXPECTED[:3])
    assert [marker.read_text() for marker in markers] == ["0", "0"]


def test_a_start_that_succeeds_forgets_those_that_did_not(tmp_path, ray_engine) -> None:
    start = tmp_path / "deaths at start"
    start.write_text(str(engines.ATTEMPTS - 1))
    killer = tmp_path / f"deaths at {KEYS[0]}"

    def read_once_started(cut):
        if cut == [0] and not killer.exists():
            start.write_text("1")
            killer.write_text("1")
        return read(cut)

    work = engines.Ray(workers=1, patience=0).work(read_once_started, Mortal(tmp_path))
    (result,) = work([[0]], lambda items: None)
    assert result["value"][0] == EXPECTED[0]
    assert [marker.read_text() for marker in (start, killer)] == ["0", "0"]


def test_deaths_are_an_error_once_they_are_many_and_last_long(monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(engines.time, "monotonic", lambda: clock[0])
    crew = object.__new__(engines._Crew)
    crew.deaths, crew.resting, crew.patience = {}, {}, 300.0
    pauses = []
    with pytest.raises(engines.EngineError, match=r"died at one shard, \d+ times in \d+ s") as caught:
        for _ in range(100):
            crew._mourn(7, OSError("killed"))
            pauses.append(crew.resting.pop(7, clock[0]) - clock[0])
            clock[0] += pauses[-1] + 1  # it dies a second after each start
    assert pauses[:6] == [0, 1, 2, 4, 8, 16] and max(pauses) == engines.LONGEST_PAUSE == pauses[-1]
    assert 400 <= clock[0] < 440 and f"{len(pauses) + 1} times" in str(caught.value)
    for _ in range(engines.ATTEMPTS - 1):
        clock[0] += 1e6  # far apart
        crew._mourn(None, OSError("killed"))


def test_a_cluster_without_room_for_any_worker_is_waited_for_and_not_for_ever(
    tmp_path, ray_engine, monkeypatch
) -> None:
    import ray

    run(ray_engine, tmp_path)
    cores = ray.cluster_resources()["CPU"]
    holder = ray.remote(engines._Worker).options(num_cpus=cores).remote()
    ray.get(holder.start.remote(ray.cloudpickle.dumps(Squares())))
    monkeypatch.setattr(engines, "START", 0.3)
    with pytest.raises(engines.EngineError, match=r"no worker could start for 0 s.*machine.ray.patience"):
        run(engines.Ray(workers=1, patience=0), tmp_path / "held")
    work = engines.Ray(workers=1).work(read, Squares())
    threading.Timer(1, ray.kill, [holder]).start()
    (result,) = work([[5]], lambda items: None)
    assert result["value"] == EXPECTED[5]


class Unmovable(Squares):
    def to(self, device: str) -> Squares:
        raise MemoryError(f"no room on {device}")


def test_an_exception_at_the_start_of_a_worker_arrives_as_itself(tmp_path, ray_engine) -> None:
    with pytest.raises(MemoryError, match=r"^no room on cpu|^no room on cuda"):
        run(ray_engine, tmp_path, Unmovable())


class Threads(Squares):
    def __call__(self, payload, advance):
        import torch

        return {"threads": np.array([torch.get_num_threads()] * len(payload[0]))}

    def to(self, device):
        import torch

        return Threads(self.folder, torch.device(device).type)


def test_each_worker_has_its_part_of_the_cores(tmp_path, ray_engine) -> None:
    results = ray_engine.work(read, Threads())([[0], [1]], lambda items: None)
    each = max(1, machine.cores() // 2)
    assert [int(result["threads"][0]) for result in results] == [each, each]


def test_more_workers_than_the_cluster_has_room_for_is_an_error(tmp_path, ray_engine) -> None:
    run(ray_engine, tmp_path)
    with pytest.raises(engines.EngineError, match=r"99 workers were asked for, but the cluster has room for"):
        run(engines.Ray(workers=99), tmp_path / "more")


SHARED = {4: 2, 2: 1}  # cores of each worker where three share a GPU, by the GPUs of the cluster
NODES = {
    "one machine": ([{"CPU": 16}], 3, {"num_cpus": 5, "num_gpus": 0}),
    "uneven machines": ([{"CPU": 6}, {"CPU": 2}], 2, {"num_cpus": 3, "num_gpus": 0}),
    "a head without cores": ([{}, {"CPU": 4}, {"CPU": 4}], 2, {"num_cpus": 4, "num_gpus": 0}),
    "GPUs": ([{"CPU": 32, "GPU": 4}], 4, {"num_cpus": 8, "num_gpus": 1}),
    "GPUs on one machine only": ([{"CPU": 64}, {"CPU": 8, "GPU": 2}], 2, {"num_cpus": 4, "num_gpus": 1}),
}


@pytest.mark.parametrize(("nodes", "workers", "share"), NODES.values(), ids=NODES)
def test_cores_and_gpus_are_shared_out_so_that_all_find_a_place(monkeypatch, nodes, workers, share) -> None:
    class Cluster:
        @staticmethod
        def nodes():
            dead = {"Alive": False, "Resources": {"CPU": 1000, "GPU": 1000}}
            return [dead, *({"Alive": True, "Resources": held} for held in nodes)]

    monkeypatch.setattr(engines, "require_ray", lambda: Cluster)
    assert engines._share(workers) == share
    with pytest.raises(engines.EngineError, match="has room for"):
        engines._share(1000)
    if not share["num_gpus"]:
        with pytest.raises(
            engines.EngineError, match=r"machine.ray.gpus: each worker asks for 0.5 of a GPU.*give 0"
        ):
            engines._share(1, 0.5)
        return
    assert engines._share(workers, 0)["num_gpus"] == 0
    gpus = sum(node.get("GPU", 0) for node in nodes)
    assert engines._share(3 * gpus, 0.3) == {"num_cpus": SHARED[gpus], "num_gpus": 0.3}
    with pytest.raises(engines.EngineError, match=f"{3 * gpus + 1} workers were asked for"):
        engines._share(3 * gpus + 1, 0.3)


def test_without_ray_the_error_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(engines.EngineError, match=r"pip install 'crossgap\[ray\]'"):
        run(engines.Ray(), tmp_path)


def test_a_ray_that_does_not_start_is_told_in_a_sentence(tmp_path, monkeypatch) -> None:
    ray = pytest.importorskip("ray")

    def late(**_options: object) -> None:
        raise Exception("The current node timed out during startup.")  # as Ray's node raises it

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(engines.EngineError, match=r"did not start here .*timed out.*machine\.engine: local"):
        run(engines.Ray(), tmp_path)


def test_ray_is_imported_when_it_is_used() -> None:
    code = "import sys, crossgap.stores.engines; print('ray' in sys.modules, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "False"]


DRIVER = """
import json, sys, time
import numpy as np, psutil
sys.path.insert(0, sys.argv[2])
from crossgap.stores import engines, shards

class Slow:
    def to(self, device): return self
    def __call__(self, payload, advance):
        time.sleep(0.2)
        return {"value": np.array(payload)}

keys = [str(number) for number in range(40)]
def started(cut):
    if cut[0] == 20:
        family = [child.pid for child in psutil.Process().children(recursive=True)]
        open(sys.argv[1] + "/family", "w").write(json.dumps(family))
    return cut
done = shards.compute(keys, engines.Ray(2).work(started, Slow()), sys.argv[1], {}, size=2)
print(done.gather(keys)["value"].tolist() == list(range(40)))
"""


def command_of(process: int) -> str:
    """Empty once it has ended."""
    try:
        return " ".join(psutil.Process(process).cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_a_killed_driver_takes_its_cluster_along_and_goes_on_later(tmp_path) -> None:
    pytest.importorskip("ray")
    command = [sys.executable, "-c", DRIVER, str(tmp_path), str(Path(__file__).parents[1])]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "family").exists() or not (family := (tmp_path / "family").read_text()):
        assert driver.poll() is None
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 20
    left = json.loads(family)
    assert left
    # Ray's agents, which hold nothing, take a minute longer
    while left := [process for process in left if (said := command_of(process)) and "Agent" not in said]:
        assert time.monotonic() < deadline, [command_of(process) for process in left]
        time.sleep(0.1)
    whole = len(list(tmp_path.glob("*/*.safetensors")))
    assert whole >= 2
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split()[-1] == "True"
