"""Without a network, Hugging Face's hub is asked once, and then its cache alone is read.

The hub's own library would ask for every file of a model again and again, which takes a minute.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, get_session
from huggingface_hub.errors import LocalEntryNotFoundError

TIMEOUT = 10  # seconds to wait for an answer
ATTEMPTS = 2
KNOWN_FOR = 60  # seconds after which it is asked again

_known: tuple[float, str | None] | None = None


def unreachable() -> str | None:
    """Why the hub can't be reached; None if it answers, be it with an error."""
    global _known
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if _known is None or time.monotonic() - _known[0] > KNOWN_FOR:
        _known = time.monotonic(), _asked()
    return _known[1]


def why(error: BaseException) -> str:
    """Why something of the hub can't be had, on one line: as `error` says, or that the cache lacks it."""
    reason = unreachable()
    cause: BaseException | None = error
    while reason and cause:
        if isinstance(cause, LocalEntryNotFoundError | ConnectionError):
            return f"{reason}, and the cache lacks it"
        cause = cause.__cause__ or cause.__context__
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def asked_if_reachable() -> Iterator[None]:
    """While the block runs, the hub's library reads its cache alone where the hub can't be reached."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = unreachable() is not None
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _asked() -> str | None:
    for attempt in range(ATTEMPTS):
        try:
            get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
            return None
        except Exception as error:  # each version of the library has another client with errors of its own
            reason = f"{constants.ENDPOINT} can't be reached: {str(error).strip() or type(error).__name__}"
            time.sleep(0 if attempt + 1 == ATTEMPTS else 1)
    return reason
