"""The processor that computes, and its cores.

Another kind of processor gives other last bits, so a store says which made it. The number of cores changes nothing.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

_CPUS = Path("/proc/cpuinfo")
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's mallopt


def processor(device: Any = "cpu") -> str:
    """What a device of torch is called: a GPU by its name, anything else by this machine's processor.

    Of work that is spread over a cluster it is that of the process that gathers it.
    """
    if str(device).startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return _cpu()


@cache
def multiplies_bytes_in_tiles() -> bool:
    """Whether the processor has AMX for bytes."""
    return _CPUS.is_file() and " amx_int8" in _CPUS.read_text(encoding="utf-8")


def keep_freed_memory() -> None:
    """Have this process use the memory of freed arrays again: what comes anew from the system is first filled with
    zeros, page by page. It changes no result; without glibc it does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def rounding_of_float32() -> str | None:
    """Why a CPU wouldn't compute in whole float32, whatever torch is told, and the remedy; None if it would."""
    for name in ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"):
        if asked := os.environ.get(name):
            whole = asked.lower() == "strict"
            return None if whole else f"{name}={asked} has oneDNN round float32 on a CPU: unset it"
    return None


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _cpu() -> str:
    if _CPUS.is_file():
        named = re.search(r"^model name\s*: *(.+)$", _CPUS.read_text(encoding="utf-8"), re.MULTILINE)
    else:
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]  # of macOS
        try:
            named = re.match("(.+)", subprocess.run(asked, capture_output=True, text=True).stdout)
        except FileNotFoundError:
            named = None
    name = named[1].strip() if named else platform.processor()
    return " ".join([name, platform.machine()]).strip()
