"""Where shards are computed: in this process, or by the workers of a Ray cluster.

An engine turns two functions into the work of `shards.compute`. `read(cut)` makes a cut's payload, in this process;
`function(payload, advance)` makes the cut's arrays of it, wherever the engine says. So workers need no file system,
but for what a function itself reads there: this process alone reads stores and writes shards.
"""

from __future__ import annotations

import heapq
import os
import pickle
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from crossgap import machine
from crossgap.errors import CrossgapError
from crossgap.stores import shards

Cut = list[int]
Read = Callable[[Cut], Any]
IN_FLIGHT = 2  # cuts for each worker: one is computed while the other waits
ATTEMPTS = 4  # deaths at one cut, or at starts in a row, that are no error, however far apart they lie
START = 60.0  # seconds for which a first worker is waited for, whatever the patience
LONGEST_PAUSE = 30.0  # seconds before the next attempt at what workers die of
OBJECT_STORE = 256 << 20  # bytes of a local cluster's shared memory, beside the function itself


class Function(Protocol):
    """Makes a cut's arrays of its payload; picklable, since it is sent to the workers."""

    def __call__(self, payload: Any, advance: Callable[[int], None], /) -> shards.Arrays:
        """`advance` is to be called with the number of items just finished."""

    def to(self, device: str) -> Function:
        """The same on another device, `cpu` or `cuda`."""


class Engine(Protocol):
    def work(self, read: Read, function: Function) -> shards.Work:
        """What `shards.compute` calls: results in the order of the cuts, to the end of the list, which whoever takes
        the results may have put more cuts to.
        """


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
    are in memory, as payloads or as arrays. The workers need crossgap installed, and no files but those that the
    function reads.

    Attributes:
        workers: how many at once.
        address: of a running cluster, `auto` or `host:port`. If None, a cluster of this machine is started with the
            first cut and ended with the process, or by `close`.
        gpus: of each worker: 1, a part of one that several share, or 0. If None, 1 where the cluster has any.
        patience: seconds for which workers may die at one cut or as they start, and for which there may be no worker
            at all, before that is an error. The pauses between attempts grow.
    """

    workers: int = 2
    address: str | None = None
    gpus: float | None = None
    patience: float = 300.0
    _end: Callable[[], Any] | None = field(default=None, repr=False, compare=False)

    def work(self, read: Read, function: Function) -> shards.Work:
        """As `Engine.work`; an exception in `function` is raised here as itself.

        Raises:
            EngineError: as said there.
        """

        def work(cuts: list[Cut], advance: Callable[[int], None]) -> Iterator[shards.Arrays]:
            ray = require_ray()
            pickled = ray.cloudpickle.dumps(function)
            self._connect(len(pickled))
            share = _share(self.workers, self.gpus)
            crew = _Crew(self.workers, ray.put(pickled), share, self.patience)
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
        ray = require_ray()
        if ray.is_initialized():
            return
        local = {
            "address": "local",
            "num_cpus": max(machine.cores(), self.workers),
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
        except Exception as error:
            if type(error) is not Exception:  # Ray's own, on a program of its that doesn't start
                raise
            raise EngineError(
                f"Ray did not start here ({error}): end other programs and run it again, or give machine.engine: local"
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

    def __init__(self, size: int, function: Any, share: dict[str, float], patience: float) -> None:
        self.ray, self.size, self.function, self.patience = require_ray(), size, function, patience
        # replaced by us, not by Ray: that would wait for a lost machine to come back, and its cuts with it
        self.hire = self.ray.remote(_Worker).options(**share, max_restarts=0).remote
        self.load: dict[Any, list[int]] = {}  # worker → numbers of its cuts in flight, in order
        self.starting: dict[Any, Any] = {}  # reference → worker
        self.running: dict[Any, tuple[int, Any]] = {}  # reference → number of the cut, worker
        self.dead: set[Any] = set()
        self.alone_since = time.monotonic()  # while there is no worker
        # by number of the cut; None is the start
        self.deaths: dict[int | None, list[float]] = {}  # their times
        self.resting: dict[int | None, float] = {}  # until when

    def compute(self, cuts: list[Cut], read: Read, advance: Callable[[int], None]) -> Iterator[shards.Arrays]:
        waiting: list[int] = []
        done: dict[int, shards.Arrays] = {}
        wanted = known = 0
        while wanted < len(cuts):
            waiting += range(known, len(cuts))  # greater than all before: it stays a heap
            known = len(cuts)
            while wanted not in done:
                self._wake(waiting)
                most = min(self.size, known - wanted)
                while None not in self.resting and len(self.load) + len(self.starting) < most:
                    worker = self.hire()
                    self.starting[worker.start.remote(self.function)] = worker
                last = wanted + IN_FLIGHT * self.size
                while waiting and waiting[0] < last and (worker := self._free()) is not None:
                    number = heapq.heappop(waiting)
                    reference = worker.compute.remote(pickle.dumps(read(cuts[number])))
                    self.running[reference] = number, worker
                    self.load[worker].append(number)
                for number, arrays in self._ready():
                    if arrays is not None:
                        done[number] = arrays
                        advance(len(cuts[number]))
                    elif number not in self.resting:
                        heapq.heappush(waiting, number)
            yield done.pop(wanted)
            wanted += 1

    def dismiss(self) -> None:
        for worker in [*self.load, *self.starting.values()]:
            self.ray.kill(worker)

    def _free(self) -> Any | None:
        worker = min(self.load, key=lambda worker: len(self.load[worker]), default=None)
        return worker if worker is not None and len(self.load[worker]) < IN_FLIGHT else None

    def _wake(self, waiting: list[int]) -> None:
        """Cuts whose pause is over are waiting again.

        Raises:
            EngineError: there has been no worker for too long.
        """
        now = time.monotonic()
        for number in [number for number, until in self.resting.items() if until <= now]:
            del self.resting[number]
            if number is not None:
                heapq.heappush(waiting, number)
        if self.load:
            self.alone_since = now
        elif now >= self._longest_alone() and not self.deaths.get(None):
            raise EngineError(
                f"machine.ray: no worker could start for {now - self.alone_since:.0f} s: the cluster has no room "
                "for one; start machines in the place of those that it lost, end what else runs on it, or raise "
                "machine.ray.patience"
            )

    def _longest_alone(self) -> float:
        return self.alone_since + max(self.patience, START)

    def _ready(self) -> Iterator[tuple[int, shards.Arrays | None]]:
        """Number and arrays of the cuts that have come back; None for the arrays if the worker died."""
        pending = [*self.starting, *self.running]
        until = [*self.resting.values(), *([] if self.load else [self._longest_alone()])]
        seconds = max(0.01, min(until) - time.monotonic()) if until else None
        if not pending:
            time.sleep(seconds or 0)
            return
        references, _ = self.ray.wait(pending, timeout=seconds)
        for reference in references:
            if reference in self.starting:
                worker = self.starting.pop(reference)
                if self._get(reference, worker) is not None:
                    self.load[worker] = []
                    self.deaths.pop(None, None)
            else:
                number, worker = self.running.pop(reference)
                arrays = self._get(reference, worker)
                if arrays is not None:
                    self.load.get(worker, [number]).remove(number)
                    self.deaths.pop(number, None)
                yield number, arrays

    def _get(self, reference: Any, worker: Any) -> Any | None:
        """What the worker returned, None if it died."""
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        except self.ray.exceptions.RayError as error:
            self.ray.kill(worker)
            if worker not in self.dead:  # else another of its cuts has told
                self.dead.add(worker)
                self._mourn(next(iter(self.load.pop(worker, ())), None), error)
            return None

    def _mourn(self, number: int | None, error: Exception) -> None:
        """Let what a worker died at rest for a while: not at all after the first death, then longer and longer.

        Raises:
            EngineError: workers have died at it for too long.
        """
        now = time.monotonic()
        deaths = self.deaths.setdefault(number, [])
        deaths.append(now)
        count, seconds = len(deaths), now - deaths[0]
        if count >= ATTEMPTS and seconds >= self.patience:
            when = "when it started" if number is None else "at one shard"
            raise EngineError(
                f"a worker died {when}, {count} times in {seconds:.0f} s; if it ran out of memory, give smaller "
                f"batches or fewer workers: {error}"
            ) from error
        if count > 1:
            self.resting[number] = now + min(2.0 ** (count - 2), LONGEST_PAUSE, self.patience / ATTEMPTS)


class _Worker:
    """Runs in a process of its own, anywhere in the cluster."""

    def start(self, function: bytes) -> bool:
        ray = require_ray()
        # waiting threads leave the cores to who reads images
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        context = ray.get_runtime_context()
        self.function = ray.cloudpickle.loads(function).to("cuda" if ray.get_gpu_ids() else "cpu")
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(context.get_assigned_resources()["CPU"]))
        return True

    def compute(self, payload: bytes) -> shards.Arrays:
        # Ray would hand over arrays that can't be written to
        return self.function(pickle.loads(payload), lambda items: None)  # noqa: S301 - from `compute`, by Ray


def require_ray() -> Any:
    """The library.

    Raises:
        EngineError: it isn't there.
    """
    try:
        import ray
    except ImportError:
        raise EngineError(
            "engine ray needs Ray: pip install 'crossgap[ray]', or choose engine local"
        ) from None
    return ray


def _share(workers: int, gpus: float | None = None) -> dict[str, float]:
    """CPU cores and GPUs of each worker: as many cores as let all of them find a place."""
    nodes = [node["Resources"] for node in require_ray().nodes() if node["Alive"]]
    most = max((node.get("GPU", 0) for node in nodes), default=0)
    each = min(1, most) if gpus is None else gpus
    if each > most:
        raise EngineError(
            f"machine.ray.gpus: each worker asks for {each:g} of a GPU, but no machine of the cluster has one: give 0 "
            "or null, or start machines that have"
        )

    def places(cores: int) -> int:
        # a part of a GPU lies on one of them
        return sum(
            int(
                min(node.get("CPU", 0) // cores, int(node.get("GPU", 0)) * int(1 / each) if each else workers)
            )
            for node in nodes
        )

    for cores in range(int(max((node.get("CPU", 0) for node in nodes), default=0)), 0, -1):
        if places(cores) >= workers:
            return {"num_cpus": cores, "num_gpus": each}
    held = {kind: int(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU")}
    raise EngineError(
        f"machine.ray.workers: {workers} workers were asked for, but the cluster has room for {places(1)}: "
        f"{held['CPU']} CPU cores, {held['GPU']} GPUs"
    )
