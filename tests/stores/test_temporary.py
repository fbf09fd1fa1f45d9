from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from crossgap.stores import temporary


def test_an_error_says_the_file_that_was_meant(tmp_path):
    with pytest.raises(IsADirectoryError) as raised, temporary.named(tmp_path / "out") as beside:
        (beside / "part").mkdir(parents=True)
        (beside / "part").write_bytes(b"")
    assert raised.value.filename == str(tmp_path / "out" / "part") and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        ValueError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_told_with_what_had_no_room(error):
    with (
        pytest.raises(
            temporary.DiskFullError, match=r"^no room for out: No space left on device, with .* make room"
        ),
        temporary.room_for(Path("out")),
    ):
        raise error


def test_other_errors_stay_what_they_are():
    for error in (ValueError("x"), OSError(errno.EIO, "x")):
        with pytest.raises(type(error)) as raised, temporary.room_for(Path("out")):
            raise error
        assert raised.value is error
