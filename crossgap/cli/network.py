"""Commands on a machine without a network: asked once, instead of by every file and its retries."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

HUB = "https://huggingface.co"
_SECONDS = 5


def without_a_network(say: Callable[[str], None]) -> None:
    """Where the hub can't be reached, say so in a line, and have its client use what is on this machine alone.

    To be called before the client is imported.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return
    hub = os.environ.get("HF_ENDPOINT", HUB)
    if not _reached(hub):
        os.environ["HF_HUB_OFFLINE"] = "1"
        say(f"no network: {hub} is not reached, so only what is on this machine is used")


def _reached(address: str) -> bool:
    """Whether a server answers, whatever it says; looking up its name has no time limit of its own."""
    answers = []

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_SECONDS).close()
        except urllib.error.HTTPError:
            answers.append(True)
        except OSError:
            return
        else:
            answers.append(True)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_SECONDS)
    return bool(answers)
