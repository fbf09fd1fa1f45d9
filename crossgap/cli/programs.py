"""Other programs that a command runs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path


def done(words: Sequence[str], folder: Path = Path()) -> subprocess.CompletedProcess[str]:
    """Run a program to its end in a folder. What ends the command on the way ends it by SIGTERM, and waits for it: git
    takes its locks away then.

    Raises:
        FileNotFoundError: there is no such program.
    """
    with subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            said = running.communicate()
        except BaseException:
            running.terminate()
            raise
    return subprocess.CompletedProcess(words, running.returncode, *said)


def why(done: subprocess.CompletedProcess[str]) -> str:
    """What a program that failed said; of DVC, unless it is asked to be quiet, the errors alone."""
    said = (done.stderr or done.stdout).strip()
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    return "; ".join(errors) or said
