from __future__ import annotations

import errno
import hashlib
import io
import os
import struct
import tarfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageFile

from crossgap.datasets import tars
from crossgap.datasets.checks import Checks
from crossgap.datasets.exporting import png
from crossgap.datasets.image_files import list_images, read_bytes
from crossgap.datasets.images import decode
from crossgap.errors import ImageError


def encoded(
    kind: str = "JPEG", size: tuple[int, int] = (40, 30), seed: int = 0, mode: str = "RGB", **options
) -> bytes:
    """A picture of noise, so that the whole of the file is needed to decode it."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, kind, **options)
    return file.getvalue()


def pack(tar, members: dict[str, bytes]) -> None:
    with tarfile.open(tar, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def unpack(folder, members: dict[str, bytes]) -> None:
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


PHOTOS = {f"{folder}/{i}.jpg": encoded(seed=i) for i, folder in enumerate(["a", "a", "b", "a/deep"])}


def test_folder_tar_and_folder_of_tars_give_the_same_bytes(tmp_path):
    unpack(tmp_path / "folder", PHOTOS)
    pack(tmp_path / "plain.tar", PHOTOS)
    pack(tmp_path / "dotted.tar", {f"./{name}": data for name, data in PHOTOS.items()})
    for root, before in [
        (tmp_path / "folder", ""),
        (tmp_path, "folder/"),
        (tmp_path / "plain.tar", ""),
        (tmp_path / "dotted.tar", ""),
        (tmp_path, "plain.tar/"),
        (tmp_path, "dotted.tar/"),
    ]:
        assert [read_bytes(root, before + name) for name in PHOTOS] == list(PHOTOS.values())
    assert list_images(tmp_path / "folder") == list_images(tmp_path / "dotted.tar") == sorted(PHOTOS)
    expected = [f"{root}/{name}" for root in ("folder", "plain.tar", "dotted.tar") for name in PHOTOS]
    assert list_images(tmp_path) == sorted(expected)


def test_a_folder_may_be_named_like_a_tar(tmp_path):
    unpack(tmp_path / "x.tar", {"y.jpg": PHOTOS["a/0.jpg"]})
    assert list_images(tmp_path) == ["x.tar/y.jpg"]
    assert read_bytes(tmp_path, "x.tar/y.jpg") == PHOTOS["a/0.jpg"]


def test_listing_takes_image_extensions_and_leaves_hidden_files(tmp_path):
    names = ["A.JPG", "b.jpeg", "c.Png", "d.webp", "e.tiff", "f.gif", "g.bmp"]
    others = [".h.jpg", "._A.jpg", ".trash/i.jpg", "notes.txt", "jpg", "k.jpg.bak", ".keep.tar"]
    unpack(tmp_path, dict.fromkeys(names + others, b""))
    assert list_images(tmp_path) == sorted(names)
    (tmp_path / ".keep.tar").unlink()
    pack(tmp_path / "x.tar", dict.fromkeys(names + others, b""))
    assert list_images(tmp_path / "x.tar") == sorted(names)


def test_listing_follows_links_to_folders_but_not_in_circles(tmp_path):
    unpack(tmp_path / "elsewhere", {"a.jpg": b""})
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(tmp_path / "root")
    assert list_images(tmp_path / "root") == ["link/a.jpg"]


def test_listing_what_is_not_there_or_a_bad_tar_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list_images(tmp_path / "nowhere")
    with tarfile.open(tmp_path / "x.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    with pytest.raises(ImageError, match=r"x\.tar: not a whole uncompressed tar"):
        list_images(tmp_path)
    pack(tmp_path / "x.tar", PHOTOS)
    whole = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[: 512 + len(PHOTOS["a/0.jpg"]) // 2])
    with pytest.raises(ImageError, match="not a whole uncompressed tar"):
        list_images(tmp_path)


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "../x.jpg", "a/../x.jpg", "a//x.jpg", "./x.jpg", "", "x\0.jpg"]
)
def test_paths_may_not_leave_the_root(tmp_path, path):
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "x.jpg").write_bytes(PHOTOS["a/0.jpg"])
    with pytest.raises(ImageError, match="not a plain path"):
        read_bytes(tmp_path / "root", path)


def test_members_of_a_tar_that_are_links_or_climb_out_are_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind in [("soft.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE)]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/hostname"
            archive.addfile(member)
        archive.addfile(tarfile.TarInfo("../climb.jpg"))
    assert list_images(tmp_path) == ["x.tar/../climb.jpg", "x.tar/hard.jpg", "x.tar/soft.jpg"]
    for path in ("x.tar/soft.jpg", "x.tar/hard.jpg"):
        with pytest.raises(ImageError, match="a link or special member"):
            read_bytes(tmp_path, path)
    with pytest.raises(ImageError, match="not a plain path"):
        read_bytes(tmp_path, "x.tar/../climb.jpg")


@pytest.mark.parametrize("path", ["x.jpg", "a/x.jpg", "x.tar/x.jpg", "file/x.jpg", "none.tar/x.jpg"])
def test_a_missing_file_is_named(tmp_path, path):
    pack(tmp_path / "x.tar", PHOTOS)
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="no such file") as error:
        read_bytes(tmp_path, path)
    assert error.value.path == path and Checks(tmp_path).of(path)[:2] == (None, "no such file")


@pytest.mark.parametrize("path", ["x.jpg", "x.tar/x.jpg"])
def test_a_file_that_this_user_may_not_read_is_no_bad_image(tmp_path, monkeypatch, path):
    pack(tmp_path / "x.tar", PHOTOS)
    (tmp_path / "x.jpg").write_bytes(encoded())

    def refusing(file, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr(Path, "read_bytes", refusing)
    monkeypatch.setattr(tars, "opened", refusing)
    for read in (read_bytes, lambda root, path: Checks(root).of(path)):
        with pytest.raises(PermissionError, match=r"Permission denied.*x\.(jpg|tar)"):
            read(tmp_path, path)


def test_a_tar_is_indexed_once_until_it_changes(tmp_path, monkeypatch):
    pack(tmp_path / "x.tar", PHOTOS)
    opened = []
    original = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: (opened.append(a), original(*a, **k))[1])
    with ThreadPoolExecutor(8) as pool:
        paths = [f"x.tar/{name}" for name in PHOTOS] * 50
        assert list(pool.map(lambda path: read_bytes(tmp_path, path), paths)) == list(PHOTOS.values()) * 50
    assert len(opened) == 1
    monkeypatch.setattr(tarfile, "open", original)
    pack(tmp_path / "x.tar", {"a/0.jpg": b"new"})
    assert read_bytes(tmp_path, "x.tar/a/0.jpg") == b"new"


def test_a_forked_process_reads_a_tar_opened_before_even_while_the_lock_is_held(tmp_path):
    pack(tmp_path / "x.tar", PHOTOS)
    read_bytes(tmp_path, "x.tar/a/0.jpg")
    with tars._lock:
        child = os.fork()
        if child == 0:
            try:
                same = read_bytes(tmp_path, "x.tar/b/2.jpg") == PHOTOS["b/2.jpg"]
                os._exit(0 if same else 1)
            finally:
                os._exit(2)  # else it would go on as a second pytest
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


SIXTEEN = np.linspace(0, 65535, 40 * 30).astype(np.uint16).reshape(30, 40)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


LATER = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
TURNED = Image.Exif()
TURNED[0x0112] = 6
FORMATS = {
    "colour.jpg": (encoded(), "RGB"),
    "progressive.jpg": (encoded(progressive=True), "RGB"),
    "grey.jpg": (encoded(mode="L"), "L"),
    "cmyk.jpg": (encoded(mode="CMYK"), "CMYK"),
    "palette.png": (encoded("PNG", mode="P"), "P"),
    "one_bit.png": (encoded("PNG", mode="1"), "1"),
    "alpha.png": (encoded("PNG", mode="RGBA"), "RGBA"),
    "grey_alpha.png": (encoded("PNG", mode="LA"), "LA"),
    "palette_alpha.png": (encoded("PNG", mode="P", transparency=7), "P"),
    "sixteen.png": (saved(Image.fromarray(SIXTEEN), "PNG"), "L"),
    "moving.gif": (encoded("GIF", save_all=True, append_images=LATER), None),
    "moving.png": (encoded("PNG", save_all=True, append_images=LATER), "RGB"),
    "moving.webp": (encoded("WEBP", save_all=True, append_images=LATER, lossless=True), None),
    "pages.tiff": (encoded("TIFF", save_all=True, append_images=LATER), "RGB"),
    "turned.jpg": (encoded(exif=TURNED), "RGB"),
    "lossless.webp": (encoded("WEBP", lossless=True), "RGB"),
    "scan.tiff": (encoded("TIFF", mode="CMYK"), "CMYK"),
    "bitmap.bmp": (encoded("BMP"), "RGB"),
    "gray.pgm": (encoded("PPM", mode="L"), "L"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_and_modes_open_as_they_are_stored(tmp_path, name):
    data, mode = FORMATS[name]
    (tmp_path / name).write_bytes(data)
    image = decode(name, read_bytes(tmp_path, name))
    assert image.size == (40, 30) and image.mode == (mode or image.mode)
    assert image.convert("RGB").getextrema() != ((0, 0),) * 3
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    assert Checks(tmp_path).of(name) == (digest, None, 40, 30)
    if name != "sixteen.png":
        plain = Image.open(io.BytesIO(data)).convert("RGB")
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(plain))


PREPROCESSING = {
    "openai": {"size": 224},
    "siglip": {"size": 256, "mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": "squash"},
    "nano": {"size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3},
}


@pytest.mark.parametrize("preprocessing", PREPROCESSING)
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "sixteen.png"])
def test_open_clip_makes_the_same_of_it_as_of_the_file(tmp_path, name, preprocessing):
    (tmp_path / name).write_bytes(FORMATS[name][0])
    transform = image_transform_v2(PreprocessCfg(**PREPROCESSING[preprocessing]), is_train=False)
    with Image.open(tmp_path / name) as plain:
        assert torch.equal(transform(decode(name, read_bytes(tmp_path, name))), transform(plain))


def rgb(folder, name: str, data: bytes) -> np.ndarray:
    (folder / name).write_bytes(data)
    return np.asarray(decode(name, read_bytes(folder, name)).convert("RGB"))


@pytest.mark.parametrize("order", ["<u2", ">u2"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_keep_their_high_byte_instead_of_turning_white(tmp_path, kind, order):
    if kind == "PPM":
        data = b"P5 40 30 65535\n" + SIXTEEN.astype(">u2").tobytes()
    elif kind == "PNG":
        data = FORMATS["sixteen.png"][0]
    else:
        data = saved(Image.fromarray(SIXTEEN.astype(order)), kind)
    assert np.array_equal(rgb(tmp_path, "x", data), np.repeat((SIXTEEN // 256)[..., None], 3, axis=2))


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits_are_exported_as_they_are(tmp_path, order):
    data = png(Image.fromarray(SIXTEEN.astype(order)))
    assert np.array_equal(rgb(tmp_path, "x", data)[..., 0], SIXTEEN // 256)


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """`(h, w, c)` uint16 as PNG, which Pillow does not write: greyscale with alpha, RGB or RGBA."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bits_a_channel_keep_their_high_byte_too(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 1 << 16, (30, 40, channels), dtype=np.uint16)
    colours = np.repeat(pixels[..., :1], 3, axis=2) if channels == 2 else pixels[..., :3]
    assert np.array_equal(rgb(tmp_path, "x.png", png_of_16_bits(pixels)), colours // 256)


def grey_tiff(bits: int, photometric: int, pixels: bytes, size: tuple[int, int]) -> bytes:
    """A TIFF of one uncompressed strip, as scanners and microscopes write it and Pillow doesn't."""
    width, height = size
    tags = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: photometric,
        273: 8,
        277: 1,
        278: height,
        279: len(pixels),
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    return head + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_twelve_bits_of_a_tiff_are_as_light_as_sixteen(tmp_path):
    twelve = SIXTEEN >> 4
    bits = (twelve[..., None] >> np.arange(11, -1, -1) & 1).astype(np.uint8)
    data = grey_tiff(12, 1, np.packbits(bits).tobytes(), (40, 30))
    assert np.array_equal(rgb(tmp_path, "x", data)[..., 0], SIXTEEN // 256)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_0_is_white_is_no_negative(tmp_path, bits):
    pixels = SIXTEEN if bits == 16 else (SIXTEEN // 256).astype(np.uint8)
    data = grey_tiff(bits, 0, pixels.tobytes(), (40, 30))
    assert np.array_equal(rgb(tmp_path, "x", data)[..., 0], 255 - SIXTEEN // 256)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_32_bits_are_refused(tmp_path, dtype):
    Image.fromarray(np.linspace(0, 9, 1200).astype(dtype).reshape(30, 40)).save(tmp_path / "x.tiff")
    assert "32-bit" in Checks(tmp_path).of("x.tiff")[1]
    with pytest.raises(ImageError, match=r"x\.tiff: 32-bit .* convert it to 8 bits"):
        decode("x.tiff", read_bytes(tmp_path, "x.tiff"))


def test_exif_orientation_is_not_applied(tmp_path):
    assert np.array_equal(rgb(tmp_path, "x.jpg", FORMATS["turned.jpg"][0]), rgb(tmp_path, "y.jpg", encoded()))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_taken(tmp_path, kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    more = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **more)
    assert (rgb(tmp_path, "x", data) == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_no_negative(tmp_path, kind):
    cyan = rgb(tmp_path, "x", saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), kind))
    half = rgb(tmp_path, "x", saved(Image.new("CMYK", (8, 8), (0, 0, 0, 128)), kind))
    assert abs(cyan.astype(int) - (0, 255, 255)).max() <= 2 and abs(half.astype(int) - 127).max() <= 2
    assert kind == "TIFF" or b"Adobe" in (tmp_path / "x").read_bytes()


def test_the_colour_under_transparency_shows(tmp_path):
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    for data in (
        saved(palette, "PNG", transparency=1),
        saved(palette, "GIF", transparency=1),
        saved(Image.new("RGBA", (8, 8), (10, 20, 30, 0)), "PNG"),
    ):
        assert (rgb(tmp_path, "x", data) == (10, 20, 30)).all()
    assert (rgb(tmp_path, "x", saved(Image.new("LA", (8, 8), (40, 0)), "PNG")) == 40).all()


@pytest.mark.parametrize(
    "name",
    ["colour.jpg", "progressive.jpg", "grey.jpg", "alpha.png", "lossless.webp", "scan.tiff", "bitmap.bmp"],
)
@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_a_file_cut_anywhere_is_found_or_has_all_its_pixels(tmp_path, name, monkeypatch):
    data, _ = FORMATS[name]
    whole = np.asarray(Image.open(io.BytesIO(data)))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as a careless library may leave it
    for length in [*range(1, len(data), max(1, len(data) // 40)), *range(len(data) - 8, len(data))]:
        (tmp_path / name).write_bytes(data[:length])
        digest, problem, *_ = Checks(tmp_path).of(name)
        assert digest == hashlib.blake2b(data[:length], digest_size=16).hexdigest()
        if problem is None:
            assert np.array_equal(np.asarray(decode(name, read_bytes(tmp_path, name))), whole)
        else:
            assert problem.startswith(("truncated or damaged", "not an image"))
            with pytest.raises(ImageError):
                decode(name, read_bytes(tmp_path, name))


def test_a_half_jpeg_is_truncated(tmp_path):
    (tmp_path / "x.jpg").write_bytes(encoded()[: len(encoded()) // 2])
    assert Checks(tmp_path).of("x.jpg")[1].startswith("truncated or damaged: ")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty file (0 bytes)"),
        (b"<html>404</html>", "not an image that Pillow can read"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "not an image that Pillow can read"),
    ],
)
def test_what_is_no_image_is_told(tmp_path, data, problem):
    (tmp_path / "x.jpg").write_bytes(data)
    assert Checks(tmp_path).of("x.jpg")[1] == problem
    with pytest.raises(ImageError) as error:
        decode("x.jpg", read_bytes(tmp_path, "x.jpg"))
    assert str(error.value) == f"x.jpg: {problem}"


def test_a_folder_named_like_an_image_is_told(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    assert Checks(tmp_path).of("x.jpg")[1].startswith("can't be read")


def test_a_decompression_bomb_is_told(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(FORMATS["alpha.png"][0])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert Checks(tmp_path).of("x.png")[1].startswith("too large: ")
