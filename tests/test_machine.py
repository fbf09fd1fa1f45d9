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

ASKED = """
import os, runpy, sys

class Looked:
    def find_spec(self, name, *others):
        if name == "numpy":
            print(os.environ["OPENBLAS_THREAD_TIMEOUT"])
            sys.meta_path.remove(self)

sys.meta_path.insert(0, Looked())
sys.argv = ["evaluate", "none", "none"]
runpy.run_module("stages.evaluate", run_name="__main__")
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_memory_of_freed_arrays_stays_with_the_process_once_asked_for():
    def left(*words: str) -> int:
        ran = subprocess.run(
            [sys.executable, "-c", FREED, *words], capture_output=True, text=True, check=True
        )
        return int(ran.stdout)

    assert left("keep") - left() > 200 * 2**20


@pytest.mark.parametrize(("given", "expected"), [(None, "16"), ("26", "26")])
def test_an_evaluation_has_idle_threads_of_openblas_sleep_soon_unless_told_otherwise(
    given, expected, monkeypatch
):
    """OpenBLAS reads it as NumPy is loaded."""
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    if given:
        monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", given)
    ran = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True)
    assert ran.stdout.split() == [expected] and "none" in ran.stderr
