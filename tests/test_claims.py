"""Files that claim what would fill the memory, and hold little: one sentence, before any room is made.

Each runs in a process that may use no more than a little memory beyond what it has: a claim that is believed kills it.
"""

from __future__ import annotations

import io
import json
import resource
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from crossgap import claims, open_store
from crossgap.backbones import checkpoints
from crossgap.claims import ClaimError
from crossgap.datasets import DatasetError
from crossgap.datasets.checks import Checks
from crossgap.datasets.image_files import read_bytes
from crossgap.datasets.images import ImageError, decode
from crossgap.datasets.readers.parquet import read_parquet
from crossgap.errors import CrossgapError
from crossgap.importing import Assignment, FeatureImportError
from crossgap.stores import store
from crossgap.stores.store import StoreError
from crossgap.stores.zipped import check_frame

TERA = 10**12


@pytest.fixture(autouse=True)
def little_memory():
    """Two GiB of addresses beyond those in use: what asks for terabytes, or gigabytes, gets a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def loaded(file: Path, key: str = "") -> None:
    Assignment.parse(f"image/test={file}{key}").load()


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """Of an .npy."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue()


def test_small_claims_and_honest_ones_are_none() -> None:
    claims.check("x", claims.LARGE, 0)
    claims.check("x", 999 * TERA, TERA)
    with pytest.raises(ClaimError, match=r"x claims .* and holds 5, under a thousandth.*write it again"):
        claims.check("x", claims.LARGE + 1, 5)


def test_an_array_whose_header_claims_terabytes(tmp_path) -> None:
    (tmp_path / "x.npy").write_bytes(header((TERA, 512)) + b"\0" * 100)
    with pytest.raises(FeatureImportError, match=r"x.npy: can't be read: .*mmap"):
        loaded(tmp_path / "x.npy")


def test_an_archives_member_whose_header_claims_terabytes(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", header((TERA,)) + b"\0" * 100)
    with pytest.raises(FeatureImportError, match=r"x.npz:x claims 4000000000000 bytes and holds \d+, "):
        loaded(tmp_path / "x.npz")


def test_a_zip_bomb_of_an_array(tmp_path, monkeypatch) -> None:
    """Zeros, that unpack to a thousand times their bytes; the limit is a sixteenth here, and all else as it is."""
    monkeypatch.setattr(claims, "LARGE", claims.LARGE >> 4)
    rows = 5 << 14
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(header((rows, 512)))
        for _ in range(rows // 4096):
            member.write(bytes(4096 * 2048))
    with pytest.raises(FeatureImportError, match=r"x.npz:x claims 167\d{6} bytes and holds 16\d{4}, "):
        loaded(tmp_path / "x.npz")


def test_a_safetensors_header_that_claims_terabytes(tmp_path) -> None:
    for said in ({"x": {"dtype": "F32", "shape": [TERA], "data_offsets": [0, 4 * TERA]}}, None):
        words = json.dumps(said).encode()
        size = len(words) if said else TERA
        (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", size) + words + b"\0" * 64)
        with pytest.raises(FeatureImportError, match=r"x.safetensors: can't be read"):
            loaded(tmp_path / "x.safetensors")


def test_a_table_of_one_value_a_great_many_times(tmp_path, monkeypatch) -> None:
    """Run-length encoding stores a value that repeats once; the limit is a sixteenth here."""
    monkeypatch.setattr(claims, "LARGE", claims.LARGE >> 4)
    rows = pa.table({"x": pa.repeat(pa.scalar(1, pa.int8()), 10_000_000)})
    pq.write_table(rows, tmp_path / "x.parquet", compression="zstd", row_group_size=10_000_000)
    with pytest.raises(FeatureImportError, match="its table claims 80000000 bytes"):
        loaded(tmp_path / "x.parquet", ":x")
    with pytest.raises(DatasetError, match=r"table .*x.parquet claims 80000000 bytes"):
        read_parquet(tmp_path / "x.parquet", "table ", "mend `table`")


def png(width: int, height: int) -> bytes:
    """An image of one colour, a bit a pixel, whose rows are deflated as they are made."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed, row = zlib.compressobj(9), b"\0" * (1 + (width + 7) // 8)
    data = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("limit", [None, 10**12])
def test_an_image_bomb_whatever_limit_a_library_has_set(tmp_path, monkeypatch, limit) -> None:
    from PIL import Image

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    (tmp_path / "x.png").write_bytes(png(20_000, 20_000))
    with pytest.raises(ImageError, match=r"x.png: too large: 20000 × 20000 pixels, more than the 178956970"):
        decode("x.png", read_bytes(tmp_path, "x.png"))
    assert Checks(tmp_path).of("x.png")[1].startswith("too large: ")
    (tmp_path / "y.png").write_bytes(png(300, 200))
    assert decode("y.png", read_bytes(tmp_path, "y.png")).size == (300, 200)


def test_a_file_of_a_terabyte_and_a_tars_member_that_claims_one(tmp_path) -> None:
    with open(tmp_path / "x.jpg", "wb") as file:
        file.truncate(TERA)  # sparse: it takes no room
    with pytest.raises(ImageError, match=r"x.jpg: 1000000000000 bytes, more than the 1073741824"):
        read_bytes(tmp_path, "x.jpg")
    member = tarfile.TarInfo("x.jpg")
    member.size = TERA
    with open(tmp_path / "x.tar", "wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.truncate(TERA + 10_240)
    with pytest.raises(ImageError, match=r"x.tar/x.jpg: 1000000000000 bytes"):
        read_bytes(tmp_path, "x.tar/x.jpg")


@pytest.fixture
def made(tmp_path) -> Path:
    path = tmp_path / "s.zarr.zip"
    with store.creating(path, tmp_path / "scratch", {}) as writer:
        features = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
        writer.add(
            "image/test", {"id": np.array([str(row) for row in range(50)], object)}, [{"features": features}]
        )
    return path


def rewritten(path: Path, change, compression: int = zipfile.ZIP_STORED) -> Path:
    """A store whose entries are changed by `change(name, content)`."""
    target = path.with_name("changed.zarr.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", compression) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, change(entry.filename, old.read(entry)))
    return target


@pytest.mark.parametrize("what", ["shape", "chunk"])
def test_a_store_whose_array_or_chunk_claims_terabytes(made, what) -> None:
    def change(name: str, content: bytes) -> bytes:
        if name != "image/test/features/zarr.json":
            return content
        said = json.loads(content)
        place = said if what == "shape" else said["chunk_grid"]["configuration"]
        place["shape" if what == "shape" else "chunk_shape"][0] = TERA
        return json.dumps(said).encode()

    group = open_store(rewritten(made, change))["image/test"]
    for read in (lambda: group.features, lambda: group.rows("features", np.array([1]))):
        with pytest.raises(StoreError, match=r"features claims 32000000000000 bytes and holds \d+"):
            read()


def test_a_chunk_whose_frame_claims_terabytes(made) -> None:
    """Its head is that of a single segment of eight bytes' length."""

    def change(name: str, content: bytes) -> bytes:
        bomb = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", TERA) + content[6:]
        return bomb if name == "image/test/features/c/0/0" else content

    with pytest.raises(CrossgapError, match=r"features/c/0/0 claims 1000000000000 bytes"):
        _ = open_store(rewritten(made, change))["image/test"].features


def test_the_heads_of_frames_are_read_as_zstd_writes_them() -> None:
    """Those of the reference implementation, in all widths of the length."""
    for size in (10, 300, 70_000, 5_000_000):
        data = pa.compress(bytes(size), "zstd", asbytes=True)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(claims, "LARGE", size - 1)
            patched.setattr(claims, "RATIO", 0)
            with pytest.raises(ClaimError, match=f"x claims {size} bytes"):
                check_frame("x", data[:18].ljust(18, b"\0"), len(data))
            patched.setattr(claims, "LARGE", size)
            check_frame("x", data[:18].ljust(18, b"\0"), len(data))


def test_a_store_that_is_a_zip_bomb(made) -> None:
    with pytest.raises(StoreError, match="is compressed by the zip"):
        open_store(rewritten(made, lambda _, content: content, zipfile.ZIP_DEFLATED))


def test_no_entry_of_an_archive_leads_out_of_it(made) -> None:
    for name in ("../../evil", "/evil", "image/../../evil"):
        target = made.with_name("out.zarr.zip")
        target.write_bytes(made.read_bytes())
        with zipfile.ZipFile(target, "a") as archive:
            archive.writestr(name, "x")
        with pytest.raises(StoreError, match="evil leads out of it"):
            open_store(target)


def test_a_checkpoint_that_is_a_zip_bomb(tmp_path, monkeypatch) -> None:
    """Its pickle, which is read whole to look for names, is of zeros; the limit is a fraction of what it is."""
    monkeypatch.setattr(claims, "LARGE", claims.LARGE >> 8)
    torch.save({"x": torch.zeros(3)}, tmp_path / "x.pt")
    with (
        zipfile.ZipFile(tmp_path / "x.pt") as old,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            bomb = entry.filename.endswith("data.pkl")
            new.writestr(entry.filename, old.read(entry) + bytes(20 << 20) * bomb)
    with pytest.raises(ClaimError, match=r"bomb.pt: x/data.pkl claims 20971\d+ bytes and holds 20\d+, "):
        checkpoints.read(tmp_path / "bomb.pt")
    assert list(checkpoints.read(tmp_path / "x.pt")) == ["x"]
