from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgap import fingerprint

PARTS = st.lists(st.binary(max_size=4), max_size=4)


@given(PARTS, PARTS)
def test_parts_collide_only_where_they_are_equal(one, other) -> None:
    assert (fingerprint.of_bytes(*one) == fingerprint.of_bytes(*other)) == (one == other)


def test_of_content_is_the_blake2b_of_the_bytes_alone() -> None:
    assert fingerprint.of_content(b"a") == hashlib.blake2b(b"a", digest_size=16).hexdigest()
    assert fingerprint.of_content(b"a") != fingerprint.of_bytes(b"a")


def test_of_json_ignores_the_order_of_keys_and_nothing_else() -> None:
    value = {"b": [1, 2.5, None], "a": {"ü": True}}
    assert fingerprint.of_json(value) == fingerprint.of_json({"a": {"ü": True}, "b": [1, 2.5, None]})
    others = [{**value, "b": [1, 2.5, 0]}, {**value, "b": [2.5, 1, None]}, {**value, "c": None}]
    assert len({fingerprint.of_json(other) for other in [value, *others]}) == 4
    with pytest.raises(TypeError):
        fingerprint.of_json({"a": np.float32(1)})


def test_of_rows_tells_values_and_types_apart_but_not_memory_layouts() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    names = fingerprint.of_rows(rows)
    assert len(set(names)) == 5
    assert fingerprint.of_rows(np.asfortranarray(rows)) == names
    assert fingerprint.of_rows(rows[::-1]) == names[::-1]
    assert not set(fingerprint.of_rows(rows.astype(np.float64))) & set(names)
    rows[2, 1] = np.nextafter(rows[2, 1], np.float32(9))
    assert [a == b for a, b in zip(names, fingerprint.of_rows(rows), strict=True)] == [1, 1, 0, 1, 1]


def test_sha256_of_files_is_that_of_their_bytes_joined(tmp_path) -> None:
    big = bytes(range(256)) * (1 << 15)
    (tmp_path / "one").write_bytes(big)
    (tmp_path / "two").write_bytes(b"end")
    found = fingerprint.sha256_of_files([tmp_path / "one", tmp_path / "two"])
    assert found == hashlib.sha256(big + b"end").hexdigest()


def test_sha256_of_files_reads_them_once_and_again_where_they_changed(tmp_path, monkeypatch) -> None:
    file, new, opened = tmp_path / "weights", tmp_path / "new", Path.open
    read = []
    monkeypatch.setattr(Path, "open", lambda path, mode: (read.append(mode), opened(path, mode))[1])
    for content in (b"one", b"two"):
        with opened(new, "wb") as made:
            made.write(content)
        new.rename(file)  # of another inode, however coarse the clock
        found = {fingerprint.sha256_of_files([file]) for _ in range(3)}
        assert found == {hashlib.sha256(content).hexdigest()}
    assert read == ["rb", "rb"]


def test_a_draw_follows_from_a_name_and_the_seed_alone() -> None:
    first, again = fingerprint.draw(["a", "b", "c"], "0"), fingerprint.draw(["c", "a"], "0")
    assert [first[2], first[0]] == again and len(set(first)) == 3
    assert again == [fingerprint.of_bytes(b"0", name) for name in (b"c", b"a")]  # no drawn item changes
    assert not set(first) & set(fingerprint.draw(["a", "b", "c"], "1"))
