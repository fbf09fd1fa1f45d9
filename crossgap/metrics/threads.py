"""How many threads share the work on arrays."""

from __future__ import annotations

import os


def cores() -> int:
    """Those that this process may use, 16 at most."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, allowed)
