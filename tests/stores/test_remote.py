"""A store elsewhere: a few rows of it cost a few bytes."""

from __future__ import annotations

import gc
import http.server
import pickle
import threading

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from crossgap import open_store
from crossgap.evaluation.inversions import content
from crossgap.stores import store, writing
from crossgap.stores.remote import AHEAD, RemoteError, RemoteReader

ROWS, WIDTH = 40_000, 64


class Counted(MemoryFileSystem):
    """Files in memory, reached as over a network: by buffers that ask for ranges, whose bytes are counted."""

    protocol = "counted"
    store, pseudo_dirs = {}, [""]
    bytes, requests = 0, 0

    def _open(self, path, mode="rb", **options):
        if mode != "rb":
            return MemoryFileSystem._open(self, path, mode)
        return Ranges(self, path, mode, **options)


class Ranges(fsspec.spec.AbstractBufferedFile):
    def _fetch_range(self, start, end):
        held = MemoryFile.getvalue(Counted.store[self.path])[start:end]
        Counted.bytes += len(held)
        Counted.requests += 1
        return held


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def url(tmp_path_factory, features) -> str:
    folder = tmp_path_factory.mktemp("remote")
    with store.creating(folder / "s.zarr.zip", folder / "scratch", {"backbone": "b"}) as writer:
        blocks = ({"features": features[start : start + 8192]} for start in range(0, ROWS, 8192))
        writer.add("image/test", {"id": np.array([str(row) for row in range(ROWS)], object)}, blocks)
    fsspec.register_implementation("counted", Counted, clobber=True)
    with fsspec.open("counted://bucket/s.zarr.zip", "wb") as file:
        file.write((folder / "s.zarr.zip").read_bytes())
    return "counted://bucket/s.zarr.zip"


@pytest.fixture
def counted() -> type[Counted]:
    Counted.bytes = Counted.requests = 0
    return Counted


def test_a_few_rows_cost_a_few_chunks(url, features, counted):
    found = open_store(url)
    assert found.provenance["backbone"] == "b" and found.groups == ["image/test"]
    assert counted.bytes < 6 * AHEAD
    counted.bytes = counted.requests = 0
    positions = np.array([39_000, 5, 6])
    np.testing.assert_array_equal(found["image/test"].rows("features", positions), features[positions])
    chunk = writing.ROWS_A_CHUNK * WIDTH * 4
    # two chunks; of two shards' files their places and lists of chunks, and the arrays' descriptions
    assert counted.bytes < 2 * chunk + 12 * AHEAD and counted.requests < 20
    assert counted.bytes < 0.15 * len(MemoryFile.getvalue(next(iter(Counted.store.values()))))


def test_read_whole_it_is_the_local_one(url, features):
    group = open_store(url)["image/test"]
    assert group.features.tobytes() == features.tobytes() and group.ids[-1] == str(ROWS - 1)


def test_it_goes_to_another_process(url, features):
    group = pickle.loads(pickle.dumps(open_store(url).zarr_group))
    np.testing.assert_array_equal(group["image/test/features"][7], features[7])


def test_a_chain_of_urls_is_one(url, features, tmp_path):
    """A copy is kept, and parts are read from it."""
    found = open_store(f"simplecache::{url}", simplecache={"cache_storage": str(tmp_path)})
    np.testing.assert_array_equal(found["image/test"].rows("features", [7]), features[[7]])
    assert [path.stat().st_size for path in tmp_path.iterdir()]
    with pytest.raises(RemoteError, match=r"simplecache::counted://bucket/absent: no such file"):
        open_store("simplecache::counted://bucket/absent", simplecache={"cache_storage": str(tmp_path)})


@pytest.mark.filterwarnings("error")
def test_what_was_opened_is_closed_with_the_store(url):
    reader = RemoteReader(url, {})
    file = reader._archive.fp
    del reader
    gc.collect()
    assert file.closed


def test_options_are_of_a_url(tmp_path):
    with pytest.raises(
        store.StoreError, match=r"endpoint_url can't be given with .*x.zip, a path .* or give a URL"
    ):
        open_store(tmp_path / "x.zip", endpoint_url="http://here")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("counted://bucket/absent", "counted://bucket/absent: no such file: `dvc push`"),
        ("nowhere://bucket/x", "nowhere://bucket/x can't be opened: .*nowhere"),
    ],
)
def test_what_is_not_there_is_one_sentence(url, wrong, said):
    with pytest.raises(RemoteError, match=said):
        open_store(wrong)


class _Plain(http.server.BaseHTTPRequestHandler):
    """A server that knows nothing of parts of files."""

    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(self.content)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def log_message(self, *_words) -> None: ...


def test_a_server_without_parts_of_files_is_named_as_the_cause(url):
    pytest.importorskip("aiohttp")
    with fsspec.open(url, "rb") as file:
        _Plain.content = file.read()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Plain) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        where = f"http://127.0.0.1:{server.server_port}/native.zarr.zip"
        with pytest.raises(RemoteError, match=r"can't be read in parts: .*range requests.*: copy it here"):
            open_store(where)
        server.shutdown()
    with pytest.raises(RemoteError, match=r"no such file: .*connect"):
        open_store(where)


def test_what_is_no_store_is_told_by_its_url(url):
    with fsspec.open("counted://bucket/no.zip", "wb") as file:
        file.write(b"not a zip")
    with pytest.raises(store.StoreError, match="holds no feature store"):
        open_store("counted://bucket/no.zip")


def test_a_path_with_a_colon_is_a_path(tmp_path):
    with pytest.raises(store.StoreError, match="is not there: `dvc repro` makes it"):
        open_store(str(tmp_path / "a:b"))
    with pytest.raises(store.StoreError, match="is not there: `dvc repro` makes it"):
        open_store("a::b")


def test_a_store_elsewhere_is_named_and_opened_again_as_one_here(tmp_path, url, counted) -> None:
    """By its content alone, and in another process by its URL and options."""
    here = tmp_path / "s.zarr.zip"
    with fsspec.open(url) as file:
        here.write_bytes(file.read())
    remote = open_store(url, skip_instance_cache=True)
    assert content(remote) == content(open_store(here))
    again = pickle.loads(pickle.dumps(remote))
    assert again.zarr_group.store.url == url and again.zarr_group.store.options == {
        "skip_instance_cache": True
    }
    np.testing.assert_array_equal(
        again["image/test"].rows("features", [7]), remote["image/test"].rows("features", [7])
    )
