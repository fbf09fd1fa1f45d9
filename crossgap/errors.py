"""Errors that a user can mend, those of the machine, and how both are told.

One rule says which error a line raises:
- What files, params.yaml or the words of a command can bring about is a `CrossgapError`: its message is one sentence
  with field, value and remedy, and stages and commands print that sentence alone.
- A wrong argument of a function in Python is a `ValueError` or `TypeError`, as everywhere; in a validator of
  pydantic's, a `ValueError`, of which `crossgap.params` makes a `ParamsError`. Where a stage or a command can hand
  what a user gave to such a function, it raises a `CrossgapError` too, or one is made of its error there.
- What the machine refuses is left as the `OSError` or `MemoryError` that it is: see `of_machine`.

Whatever else comes out of a stage or command is a mistake of crossgap's, and keeps its traceback.
"""

from __future__ import annotations

import errno
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

STOPPED = "stopped: what is done is kept, run the same command again to go on"  # a stage, by Ctrl-C
_WRITABLE = "make it writable, or work in a copy of the project that is"
_AGAIN = "nothing was thrown away: run it again"
_REMEDIES = {
    "EMFILE": f"this process may hold no more files: raise its limit (`ulimit -n`), or give fewer workers; {_AGAIN}",
    "ENFILE": f"this machine may hold no more files: end other programs, or raise fs.file-max; {_AGAIN}",
    "EACCES": "give this user the right to it, with that of its folders",
    "EPERM": "give this user the right to it, with that of its folders",
    "EROFS": _WRITABLE,
    "EIO": f"look after the disk or the network that it lies on; {_AGAIN}",
    "EREMOTEIO": f"look after the disk or the network that it lies on; {_AGAIN}",
    "ESTALE": f"the server of that file system has lost it: mount it again; {_AGAIN}",
    "ETIMEDOUT": f"the server of that file system does not answer; {_AGAIN}",
    "EHOSTDOWN": f"the server of that file system does not answer; {_AGAIN}",
    "ENOTCONN": f"that file system is no longer mounted; {_AGAIN}",
    "ENODEV": f"that device is no longer there; {_AGAIN}",
    "ENXIO": f"that device is no longer there; {_AGAIN}",
    "ENOMEM": "memory ran out: end other programs, or give fewer workers and smaller batches (machine.workers, "
    f"batch_size, inversion_batch_size and training_batch_size in params.yaml); {_AGAIN}",
    "EAGAIN": f"the machine ran out of something for a while; {_AGAIN}",
    "EBUSY": f"another program holds it; {_AGAIN}",
    "ENOSPC": f"make room; {_AGAIN}",
    "EDQUOT": f"make room, or raise the quota; {_AGAIN}",
    "EFBIG": f"raise the limit of a file's size (`ulimit -f`); {_AGAIN}",
}
_NO_MEMORY = (  # torch's words; a process of its own that ends so was ended for want of memory
    "out of memory",
    "can't allocate memory",
    "out of shared memory",
    "is killed by signal: Killed",
    "exited unexpectedly",
)
_OF_RUST = re.compile(
    r"\(os error (\d+)\)|\bOs \{ code: (\d+)"
)  # how libraries in Rust say an operating system's error
_IN_THE_WAY = (FileExistsError, NotADirectoryError)  # of a folder: a file, or a link that leads nowhere
_BY_NUMBER = {getattr(errno, name): remedy for name, remedy in _REMEDIES.items() if hasattr(errno, name)}


class CrossgapError(ValueError):
    """What a user gave can't be used; the message is a sentence with field, value and remedy."""


class DatasetError(CrossgapError):
    """A dataset can't be used as declared or prepared; the message names the items and the remedy."""


class ImageError(CrossgapError):
    """An image can't be had: `path` names it, `problem` says why."""

    def __init__(self, path: str, problem: str):
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem

    def __reduce__(self) -> tuple:  # from a worker to who waits for its batch
        return type(self), (self.path, self.problem)


class BackboneError(CrossgapError):
    """A model can't be loaded as asked, can't do what is asked of it, or gives features of no use."""


class WeightsError(CrossgapError):
    """Weights can't be read, don't fit, or don't tell how they are to be used; who knows the model names it before."""


class UnavailableError(CrossgapError):
    """A number, a correction or a task that these items don't allow; the message says what is missing.

    Raised where that is noticed. An evaluation makes a row of it and goes on; any other error is an error.
    """


def listed(items: Iterable[Any], count: int = 5) -> str:
    """The first `count` items for an error message, and how many more there are."""
    items = list(items)
    more = f" and {len(items) - count} more" if len(items) > count else ""
    return ", ".join(str(item) for item in items[:count]) + more


def like(name: object, names: Iterable[str], count: int = 1, cutoff: float = 0.7) -> str:
    """For a message on an unknown name: which of the known ones may be meant; empty if none is close."""
    close = get_close_matches(str(name), list(names), count, cutoff)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def of_machine(error: BaseException) -> bool:
    """Whether an error is the machine's: no handle, no right, no memory, a disk that doesn't answer.

    It passes or can be mended, and what a file holds is not known by it: never a reason to call the file damaged or
    missing, to throw it away or to leave it out.
    """
    return out_of_memory(error) or number_of(error) in _BY_NUMBER


def number_of(error: BaseException) -> int | None:
    """The number of an operating system's error, which libraries in Rust have in their words."""
    if isinstance(error, OSError):
        return error.errno
    found = _OF_RUST.search(str(error))
    return int(found[1] or found[2]) if found else None


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, the machine's or a GPU's: torch has no `MemoryError`, and says it in words alone."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
    )


def is_told(error: BaseException) -> bool:
    """Whether an error's sentence says all: it is a user's to mend, or the machine's. Any other needs its traceback."""
    return isinstance(error, (CrossgapError, *_IN_THE_WAY)) or of_machine(error)


@contextmanager
def exits_at_signals(words: str) -> Iterator[None]:
    """Make SIGTERM, by which schedulers end a job, and SIGINT, of Ctrl-C, exit with 128 and their number.

    Another error that the exit makes on its way, as of a lock, a file half closed or a class in the making, is told to
    nobody.

    Args:
        words: a line for stderr at Ctrl-C.
    """
    ended_by: list[int] = []

    def end(number: int, _frame: object) -> None:
        ended_by.append(number)
        sys.exit(128 + number)

    signals = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # which a shell gives what runs in the background
        signals.append(signal.SIGINT)
    before = {number: signal.signal(number, end) for number in signals}
    try:
        yield
    except BaseException:
        if not ended_by:
            raise
        if ended_by[0] == signal.SIGINT:
            print(words, file=sys.stderr)
        sys.exit(128 + ended_by[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def opened(path: str | Path) -> Iterator[None]:
    """Around the opening of a file by the library safetensors: it calls every failure to open one "No such file".

    Raises:
        OSError: the true one.
    """
    try:
        yield
    except FileNotFoundError:
        with open(path, "rb"):  # tells why
            pass
        raise OSError(errno.EAGAIN, "it could not be opened a moment ago", str(path)) from None


@contextmanager
def making(path: str | Path) -> Iterator[None]:
    """Around the making of a file or folder that a user named.

    Raises:
        CrossgapError: there can be none: a file stands in the place of a folder, a name is too long.
    """
    try:
        yield
    except OSError as error:
        if of_machine(error):
            raise
        raise CrossgapError(f"{path} can't be made ({error.strerror}): name another place") from None


def said(error: BaseException) -> str:
    """An error's message; of an operating system's, the path, what is wrong with it, and the remedy if one is known."""
    if out_of_memory(error):
        sentences = re.split(r"\.\s|\n", str(error))
        words = next((one for one in sentences if any(words in one for words in _NO_MEMORY)), sentences[0])
        return f"{words}: {_REMEDIES['ENOMEM']}" if words else _REMEDIES["ENOMEM"]
    remedy = _BY_NUMBER.get(number_of(error) or 0)
    if not isinstance(error, OSError):
        return f"{error}: {remedy}" if remedy and not isinstance(error, CrossgapError) else str(error)
    if error.strerror is None:
        return str(error)
    if isinstance(error, _IN_THE_WAY):
        remedy = "a folder is wanted there: move away what stands in its place, or mend the link"
    path = error.filename2 or error.filename
    where = "" if path is None else f"{path}: "
    words = f"{where}{error.strerror[:1].lower()}{error.strerror[1:]}"
    return f"{words}: {remedy}" if remedy else words
