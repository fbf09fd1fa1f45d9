from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from crossgap import links


def test_a_write_that_fails_says_the_file(tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left") as raised:
        links.write(tmp_path / "a" / "b.json", "{}")
    assert raised.value.filename == str(tmp_path / "a" / "b.json")


def test_a_folder_that_stays_is_said_whole(tmp_path, monkeypatch):
    """`rmtree` says a file's name without its folder."""
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "file").touch()

    def refused(name, **_options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    monkeypatch.setattr(os, "unlink", refused)
    with pytest.raises(PermissionError) as raised:
        links.remove(tmp_path / "held")
    assert raised.value.filename.startswith(str(tmp_path / "held"))
