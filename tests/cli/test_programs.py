"""Programs that a command runs: what they said, and their end with the command's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crossgap.cli import programs


def test_it_says_what_subprocess_says(tmp_path) -> None:
    words = [sys.executable, "-c", "import os, sys; print(os.getcwd()); sys.exit('wrong')"]
    expected = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    found = programs.done(words, tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (1, f"{tmp_path}\n", "wrong\n")
    assert found.stdout == expected.stdout and found.stderr == expected.stderr
    with pytest.raises(FileNotFoundError):
        programs.done(["no such program"])


def test_one_that_is_ended_with_the_command_takes_its_lock_away(tmp_path) -> None:
    (tmp_path / "locking.py").write_text(
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
        "try:\n"
        "    pathlib.Path('lock').touch()\n"
        "    print('locked', flush=True)\n"
        "    time.sleep(60)\n"
        "finally:\n"
        "    time.sleep(0.3)\n"
        "    pathlib.Path('lock').unlink()\n"
    )
    (tmp_path / "command.py").write_text(
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from crossgap.cli import programs\n"
        "from crossgap.errors import exits_at_signals\n"
        "def tell():\n"
        "    while not Path('lock').exists():\n"
        "        time.sleep(0.01)\n"
        "    print('runs', flush=True)\n"
        "threading.Thread(target=tell, daemon=True).start()\n"
        "with exits_at_signals('stopped'):\n"
        "    programs.done([sys.executable, 'locking.py'])\n"
    )
    with subprocess.Popen(
        [sys.executable, "command.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None and command.stdout.readline() == "runs\n"
        command.terminate()
        assert command.wait(30) == 143 and not (tmp_path / "lock").exists()
