"""What is asked of the machine that computes."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FREED = """
import sys
import numpy as np
import psutil
from crossgap.machine import keep_freed_memory

if sys.argv[1:]:
    keep_freed_memory()
    keep_freed_memory()
held = [np.ones(2**24) for _ in range(2)]
del held
print(psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_memory_of_freed_arrays_stays_with_the_process_once_asked_for():
    def left(*words: str) -> int:
        ran = subprocess.run(
            [sys.executable, "-c", FREED, *words], capture_output=True, text=True, check=True
        )
        return int(ran.stdout)

    assert left("keep") - left() > 200 * 2**20
