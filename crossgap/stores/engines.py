"""Where shards are computed: in this process, or by the workers of a Ray cluster.

An engine turns two functions into the work of `shards.compute`. `read(cut)` makes a cut's payload, in this process;
`function(payload, advance)` makes the cut's arrays of it, wherever the engine says. So workers need no file system:
this process alone reads stores and writes shards.
"""

from __future__ import annotations

import heapq
import os
import pickle
import signal
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from crossgap.errors import CrossgapError
from crossgap.stores import shards

Cut = list[int]
Read = Callable[[Cut], Any]
IN_FLIGHT = 2  # cuts for each worker: one is computed while the other waits
ATTEMPTS = 4  # attempts at one cut, and starts in a row, after which the death of a worker is an error
OBJECT_STORE = 256 << 20  # bytes of a local cluster's shared memory, beside the function itself


class Function(Protocol):
    """Makes a cut's arrays of its payload; picklable, since it is sent to the workers."""

    def __call__(self, payload: Any, advance: Callable[[int], None]) -> shards.Arrays:
        """`advance` is to be called with the number of items just finished."""

    def to(self, device: str) -> Function:
        """The same on another device, `cpu` or `cuda`."""


class Engine(Protocol):
    def work(self, read: Read, function: Function) -> shards.Work:
        """What `shards.compute` calls: results in the order of the cuts."""


class EngineError(CrossgapError):
    """Ray is not installed or not at its address, has no room for the workers, or they die again and again."""


@dataclass(frozen=True)
class Local:
    """One cut after the other in this process, on the device that the function is on."""

    def work(self, read: Read, function: Function) -> shards.Work:
        def work(cuts: list[Cut], advance: Callable[[int], None]) -> Iterator[shards.Arrays]:
            for cut in cuts:
                yield function(read(cut), advance)

        return work


@dataclass
class Ray:
    """Cuts on several workers of a Ray cluster at once; a cut whose worker died is computed again.

    Each worker has its part of the CPU cores and, where the cluster has any, a GPU. At most `IN_FLIGHT` cuts a worker
    are in memory, as payloads or as arrays. The workers need crossgap installed, and no files.

    Attributes:
        workers: how many at once.
        address: of a running cluster, `auto` or `host:port`. If None, a cluster of this machine is started with the
            first cut and ended with the process, or by `close`.
    """

    workers: int = 2
    address: str | None = None
    _end: Callable[[], Any] | None = field(default=None, repr=False, compare=False)

    def work(self, read: Read, function: Function) -> shards.Work:
        """As `Engine.work`; an exception in `function` is raised here as itself.

        Raises:
            EngineError: as said there.
        """

        def work(cuts: list[Cut], advance: Callable[[int], None]) -> Iterator[shards.Arrays]:
            ray = _ray()
            pickled = ray.cloudpickle.dumps(function)
            self._connect(len(pickled))
            crew = _Crew(min(self.workers, len(cuts)), ray.put(pickled), _share(self.workers))
            try:
                yield from crew.compute(cuts, read, advance)
            finally:
                crew.dismiss()

        return work

    def close(self) -> None:
        """Leave the cluster, and end it if this engine started it; the next work connects again."""
        if self._end is not None:
            self._end()
            self._end = None

    def _connect(self, size: int) -> None:
        ray = _ray()
        if ray.is_initialized():
            return
        local = {
            "address": "local",
            "num_cpus": max(_cores(), self.workers),
            "object_store_memory": OBJECT_STORE + size,
            "include_dashboard": False,
        }
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's handler of SIGTERM would end this process before it could tidy up
        main = threading.current_thread() is threading.main_thread()
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                **(local if self.address is None else {"address": self.address}),
                log_to_driver=False,
                configure_logging=False,
            )
        except ConnectionError as error:
            raise EngineError(
                f"machine.ray.address: no cluster answers at {self.address!r} ({error}): start it, or leave the "
                "address out for one on this machine"
            ) from error
        finally:
            if main:
                signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
        self._end = weakref.finalize(self, ray.shutdown)


class _Crew:
    """The workers of one function. One that dies is replaced, and its cuts go to whoever is free.

    A death counts against the cut that the worker was at, not against one that waited behind it, and against starts
    until one succeeds: a long run may lose any number of workers, here and there.
    """

    def __init__(self, size: int, function: Any, share: dict[str, float]) -> None:
        self.ray, self.size, self.function = _ray(), size, function
        # replaced by us, not by Ray: that would wait for a lost machine to come back, and its cuts with it
        self.hire = self.ray.remote(_Worker).options(**share, max_restarts=0).remote
        self.load: dict[Any, list[int]] = {}  # worker → numbers of its cuts in flight, in order
        self.starting: dict[Any, Any] = {}  # reference → worker
        self.running: dict[Any, tuple[int, Any]] = {}  # reference → number of the cut, worker
        self.dead: set[Any] = set()
        self.deaths: Counter[int | None] = Counter()  # by number of the cut; None at the start

    def compute(self, cuts: list[Cut], read: Read, advance: Callable[[int], None]) -> Iterator[shards.Arrays]:
        waiting, done = list(range(len(cuts))), {}
        for wanted in range(len(cuts)):
            while wanted not in done:
                while len(self.load) + len(self.starting) < self.size:
                    worker = self.hire()
                    self.starting[worker.start.remote(self.function)] = worker
                last = wanted + IN_FLIGHT * self.size
                while waiting and waiting[0] < last and (worker := self._free()) is not None:
                    number = heapq.heappop(waiting)
                    reference = worker.compute.remote(pickle.dumps(read(cuts[number])))
                    self.running[reference] = number, worker
                    self.load[worker].append(number)
                for number, arrays in self._ready():
                    if arrays is None:
                        heapq.heappush(waiting, number)
                    else:
                        done[number] = arrays
                        advance(len(cuts[number]))
            yield done.pop(wanted)

    def dismiss(self) -> None:
        for worker in [*self.load, *self.starting.values()]:
            self.ray.kill(worker)

    def _free(self) -> Any | None:
        worker = min(self.load, key=lambda worker: len(self.load[worker]), default=None)
        return worker if worker is not None and len(self.load[worker]) < IN_FLIGHT else None

    def _ready(self) -> Iterator[tuple[int, shards.Arrays | None]]:
        """Number and arrays of the cuts that have come back; None for the arrays if the worker died."""
        references, _ = self.ray.wait([*self.starting, *self.running])
        for reference in references:
            if reference in self.starting:
                worker = self.starting.pop(reference)
                if self._get(reference, worker) is not None:
                    self.load[worker] = []
                    self.deaths[None] = 0
            else:
                number, worker = self.running.pop(reference)
                arrays = self._get(reference, worker)
                if arrays is not None:
                    self.load.get(worker, [number]).remove(number)
                yield number, arrays

    def _get(self, reference: Any, worker: Any) -> Any | None:
        """What the worker returned, None if it died."""
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        except self.ray.exceptions.RayError as error:
            self.ray.kill(worker)
            if worker in self.dead:
                return None  # another of its cuts has told
            self.dead.add(worker)
            number = next(iter(self.load.pop(worker, ())), None)
            self.deaths[number] += 1
            if self.deaths[number] == ATTEMPTS:
                when = "when it started" if number is None else "at one shard"
                raise EngineError(
                    f"a worker died {when}, {ATTEMPTS} times; if it ran out of memory, give smaller batches or "
                    f"fewer workers: {error}"
                ) from error
            return None


class _Worker:
    """Runs in a process of its own, anywhere in the cluster."""

    def start(self, function: bytes) -> bool:
        ray = _ray()
        context = ray.get_runtime_context()
        self.function = ray.cloudpickle.loads(function).to("cuda" if ray.get_gpu_ids() else "cpu")
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(context.get_assigned_resources()["CPU"]))
        return True

    def compute(self, payload: bytes) -> shards.Arrays:
        # Ray would hand over arrays that can't be written to
        return self.function(pickle.loads(payload), lambda items: None)  # noqa: S301 - from `compute`, by Ray


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise EngineError(
            "engine ray needs Ray: pip install 'crossgap[ray]', or choose engine local"
        ) from None
    return ray


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(workers: int) -> dict[str, float]:
    """CPU cores and GPUs of each worker: as many cores as let all of them find a place."""
    nodes = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
    gpus = any(node.get("GPU") for node in nodes)

    def places(cores: int) -> int:
        return sum(
            int(min(node.get("CPU", 0) // cores, node.get("GPU", 0) if gpus else workers)) for node in nodes
        )

    for cores in range(int(max(node.get("CPU", 0) for node in nodes)), 0, -1):
        if places(cores) >= workers:
            return {"num_cpus": cores, "num_gpus": int(gpus)}
    held = {kind: int(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU")}
    raise EngineError(
        f"{workers} workers were asked for, but the cluster has room for {places(1)}: "
        f"{held['CPU']} CPU cores, {held['GPU']} GPUs"
    )
