"""Checks of images that are kept: what hasn't changed isn't read again, and what is said is the same."""

from __future__ import annotations

import io
import os
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossgap.datasets import checks as checking
from crossgap.datasets.checks import Checks


def picture(seed: int, size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size + 1, 3), np.uint8)).save(
        file, "PNG"
    )
    return file.getvalue()


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Twenty pictures, one that is none, one that is empty; and a clock by which files are no longer new."""
    monkeypatch.setattr(checking, "SETTLED", -(10**12))
    for number in range(20):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    (tmp_path / "no.png").write_bytes(b"no")
    (tmp_path / "empty.png").write_bytes(b"")
    return tmp_path


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*.png"))


def counted(root: Path, paths: list[str] | None = None, **options) -> tuple[int, int]:
    """How many files were read, and how many decoded; what is said of each is what a check from nothing says."""
    paths = names(root) if paths is None else paths
    found = Checks(root, root / "kept" / "x.checks", **options)
    table = found.all(paths, workers=3)
    assert [tuple(row) for row in table.itertuples(index=False)] == [
        (one, *Checks(root).of(one)) for one in paths
    ]
    return found.read, found.decoded


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_a_table_of_checks_is_in_the_order_of_the_paths(root, workers, monkeypatch):
    monkeypatch.setattr(checking, "_SUBMITTED_AT_ONCE", 3)
    paths = ["no.png", *names(root)[:5], "empty.png", "absent.png", "../x.png"]
    table = Checks(root).all(paths, workers)
    assert list(table) == ["path", "digest", "problem", "width", "height"]
    assert [tuple(row) for row in table.itertuples(index=False)] == [(p, *Checks(root).of(p)) for p in paths]
    assert table["problem"].notna().tolist() == [True, *[False] * 5, True, True, True]
    assert table.loc[1, ["width", "height"]].tolist() == [9, 8]
    assert Checks(root).all([]).empty


def test_only_what_changed_is_read(root):
    assert counted(root) == (22, 22)
    assert counted(root) == (0, 0)
    (root / "new.png").write_bytes(picture(100))
    (root / "3.png").unlink()
    (root / "5.png").write_bytes(picture(101))
    (root / "no.png").write_bytes(picture(102))
    assert counted(root) == (3, 3)
    assert counted(root) == (0, 0)


def test_another_time_is_read_and_not_decoded(root):
    counted(root)
    os.utime(root / "4.png", ns=(1, 1))
    os.replace(root / "5.png", root / "6.png")
    (root / "copy.png").write_bytes(picture(7))
    assert counted(root) == (3, 0)


def test_bytes_that_changed_under_the_same_time_and_size_are_seen_by_the_time_of_change(root):
    """As by a tool that sets times back; the file system's own time of change can't be set."""
    counted(root)
    before, old = (root / "4.png").stat(), (root / "4.png").read_bytes()
    time.sleep(0.02)  # a tick of the file system's clock
    (root / "4.png").write_bytes(bytes([*old[:-1], old[-1] ^ 1]))
    os.utime(root / "4.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert counted(root) == (1, 1)


def test_what_was_only_just_written_is_read_again(root, monkeypatch):
    """Within a tick of the clock it may change once more, unseen; so may what a clock ahead of ours wrote."""
    monkeypatch.setattr(checking, "SETTLED", 2_000_000_000)
    assert counted(root) == (22, 22)
    assert counted(root) == (22, 0)
    monkeypatch.setattr(checking.time, "time_ns", lambda: os.stat(root / "1.png").st_ctime_ns + 3_000_000_000)
    assert counted(root) == (22, 0)
    assert counted(root) == (0, 0)
    monkeypatch.setattr(checking.time, "time_ns", lambda: 0)
    assert counted(root) == (22, 0)


def test_all_is_read_again_where_that_is_asked_or_the_folder_the_code_or_pillow_is_another(root, monkeypatch):
    counted(root)
    assert counted(root, rehash=True) == (22, 0)
    assert counted(root) == (0, 0)
    with monkeypatch.context() as patched:
        patched.setattr(checking.PIL, "__version__", "0")
        assert counted(root) == (22, 22)
    with monkeypatch.context() as patched:
        patched.setattr(checking.closure, "digest", lambda *_: "other")
        assert counted(root) == (22, 22)
    counted(root)
    found = Checks(os.path.relpath(root), root / "kept" / "x.checks")
    found.all(names(root))
    assert (found.read, found.decoded) == (22, 0)


def test_a_damaged_table_is_told_and_made_again(root):
    counted(root)
    file = root / "kept" / "x.checks"
    whole = file.read_bytes()
    for damaged in (whole[:-3], whole[:40] + bytes([whole[40] ^ 4]) + whole[41:], b""):
        file.write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"x.checks is damaged .*: every image is read again"):
            assert counted(root) == (22, 22)
        assert file.read_bytes() == whole


def test_a_tar_that_grew_is_read_and_its_new_members_decoded(root):
    def pack(count: int) -> None:
        with tarfile.open(root / "a.tar", "w") as tar:
            for number in range(count):
                tar.add(root / f"{number}.png", f"{number}.png")

    def paths(count: int) -> list[str]:
        return [f"a.tar/{number}.png" for number in range(count)]

    pack(10)
    assert counted(root, paths(10)) == (10, 10)
    assert counted(root, paths(10)) == (0, 0)
    time.sleep(0.02)
    pack(12)
    assert counted(root, paths(12)) == (12, 2)
    with tarfile.open(root / "b.tar", "w") as tar:
        tar.add(root / "15.png", "15.png")
    assert counted(root, [*paths(12), "b.tar/15.png"]) == (1, 1)


def test_an_interrupted_check_goes_on(root, monkeypatch):
    """What was found is kept every minute, a minute of no length here, with what is known of files not yet seen."""
    counted(root)
    monkeypatch.setattr(checking, "_SUBMITTED_AT_ONCE", 2)
    monkeypatch.setattr(checking, "_SAVED_EVERY", 0)
    for number in range(6):
        (root / f"{number}.png").write_bytes(picture(200 + number))
    of = Checks.of

    def dying(self, path):
        if path == "2.png":
            raise KeyboardInterrupt
        return of(self, path)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Checks, "of", dying)
        counted(root, [f"{number}.png" for number in range(6)])
    assert counted(root) == (4, 4)


def test_nothing_is_kept_of_what_could_not_be_read(root):
    kept = root / "kept" / "x.checks"
    Checks(root, kept).all(["absent.png"])
    (root / "absent.png").write_bytes(picture(1))
    assert counted(root, ["absent.png"]) == (1, 1)
