"""How fast this machine encodes and inverts with a backbone: asked of a process of its own, as every stage is.

So its start is measured too. What it does is in `crossgap.planning.timing`.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from crossgap.errors import CrossgapError

_TIMING = "crossgap.planning.timing"
_STARTED = "CROSSGAP_PROBE_STARTED"


class ProbeError(CrossgapError):
    """How fast something is can't be measured here."""


@dataclass(frozen=True)
class Asked:
    """What is to be measured: a model on a device, and its inversions with these numbers of tokens and patches.

    Attributes:
        tokens, patches: numbers of pseudo-tokens of OTI and of pseudo-patches of OVI, each measured.
        images, texts: whether the encoding of images and of texts is measured.
        sample: a manifest's folder and its images' root, from which images are taken; images of noise, if not given.
        seconds: the time for all measurements, without building the model. It is exceeded only where a single item
            takes longer.
    """

    model: str
    precision: str
    device: str
    batch_size: int
    workers: int
    inversion_batch_size: int | None
    template: str
    tokens: list[int] = field(default_factory=list)
    patches: list[int] = field(default_factory=list)
    images: bool = True
    texts: bool = True
    sample: tuple[str, str] | None = None
    seconds: float = 20.0


@dataclass(frozen=True)
class Speeds:
    """How many seconds things take.

    Attributes:
        start: from the start of a process until its model is loaded.
        image, text: to encode one.
        tokens, patches: their number → one optimiser step for one item.
        measured: what was measured → on how many items together.
        batches: `inversion` → items a batch of the stages; one that isn't full is filled up, and takes as long.
    """

    start: float
    image: float | None
    text: float | None
    tokens: dict[int, float]
    patches: dict[int, float]
    measured: dict[str, int]
    batches: dict[str, int]

    def seconds_a_step(self, method: str, number: int, items: int) -> float:
        """Of `items` inverted by "oti" or "ovi" with `number` tokens or patches, in whole batches."""
        batch = self.batches[inversion(method, number)]
        each = (self.tokens if method == "oti" else self.patches)[number]
        return math.ceil(items / batch) * batch * each


def inversion(method: str, number: int) -> str:
    """A name of an inversion with a number of tokens or patches."""
    return f"{method} of {number}"


def probe(asked: Asked) -> Speeds:
    """Measure in a process of its own, which takes about `asked.seconds` after the model is built.

    Raises:
        ProbeError: the model can't be built, or does not fit.
    """
    found = in_a_process(_TIMING, asdict(asked))
    for name in ("tokens", "patches"):
        found[name] = {int(number): seconds for number, seconds in found[name].items()}
    return Speeds(**found)


def in_a_process(module: str, asked: Any) -> Any:
    """What a module writes as JSON, in its last line, where it is run with `asked` as its input in JSON.

    `started_at` tells it when that was.

    Raises:
        ProbeError: it ended by an error or a signal.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env={**os.environ, _STARTED: str(time.monotonic())},
    )
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ProbeError(f"ended by {name}" + ", as where memory runs out" * (name == "SIGKILL"))
    if done.returncode:
        raise ProbeError(_why(done))
    return json.loads(done.stdout.splitlines()[-1])


def started_at() -> float:
    """When this process was started by `in_a_process`, as of `time.monotonic`."""
    return float(os.environ[_STARTED])


def _why(failed: subprocess.CompletedProcess) -> str:
    """What a user needs of a probe that failed: its sentence, or the traceback where there is none."""
    if said := failed.stdout.strip():
        return json.loads(said.splitlines()[-1])["error"]
    before, mark, traceback = failed.stderr.rpartition("Traceback (most recent call last)")
    return f"by a mistake of crossgap's or a library's:\n{mark}{traceback or before}".strip()
