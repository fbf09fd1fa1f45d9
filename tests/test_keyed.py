"""What `FILE[:KEY]` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossgap.keyed import file_and_key


@pytest.mark.parametrize(
    ("given", "file", "key"),
    [
        ("a.npy", "a.npy", None),
        ("a.npz:x", "a.npz", "x"),
        ("a.npz:", "a.npz", None),
        ("s:a.npz:x", "s:a.npz", "x"),
        ("there:1.npy", "there:1.npy", None),
        ("there:1.npy:x", "there:1.npy", "x"),
    ],
)
def test_a_key_follows_the_last_colon_unless_the_whole_is_a_file(
    given, file, key, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there:1.npy").touch()
    assert file_and_key(given) == (Path(file), key)
