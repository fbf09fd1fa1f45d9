"""Encoding and inverting on a Ray cluster of two nodes, one of which is killed in the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from crossgap import fingerprint, open_store
from crossgap.encode import _Shard, encode
from crossgap.errors import DatasetError
from crossgap.inversion.methods import Oti
from crossgap.inversion.recipes import Recipe
from crossgap.inversion.stores import chosen_images, invert_store
from crossgap.prepared import manifest
from crossgap.stores import engines, shards


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> tuple[pd.DataFrame, Path]:
    """Sixty images, the last of the bytes of the first, and the captions of five."""
    root, rows = tmp_path_factory.mktemp("pictures"), []
    common = {"split": "test", "rank": 0}
    for number in range(60):
        name = f"{number}.jpg"
        pixels = np.random.default_rng(number % 59).integers(0, 256, (40, 50 + number % 59, 3), np.uint8)
        Image.fromarray(pixels).save(root / name)
        digest = fingerprint.of_content((root / name).read_bytes())
        image = {"id": name, "modality": "image", "path": name, "text": None, "group": name, "digest": digest}
        rows.append(image | common)
    for number in range(5):
        said = f"picture {number}"
        digest, group = manifest.text_digest(said), f"{number}.jpg"
        text = {"id": said, "modality": "text", "path": None, "text": said, "group": group, "digest": digest}
        rows.append(text | common)
    return manifest.validate(pd.DataFrame(rows)), root


@pytest.fixture(scope="module")
def cluster():
    """A head with one core and room for more nodes; in this process, its driver."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=head)
    engine = engines.Ray(workers=2, address=started.address)
    yield started, engine
    engine.close()
    started.shutdown()


@pytest.fixture
def killed(cluster, monkeypatch):
    """As `killing`, after the fourth shard."""
    return killing(cluster, monkeypatch, shards.Shards, "put", lambda _shards, keys, _arrays: keys)


def killing(cluster, monkeypatch, owner, name, said):
    """An engine on two nodes, of which one is killed as `owner.name` has been called four times; what these calls
    were of, as `said` of the arguments, and who died.
    """
    started, engine = cluster
    node = started.add_node(num_cpus=1, object_store_memory=100 << 20)
    engine._connect(0)
    written, died = [], []
    write, mourn, ready = getattr(owner, name), engines._Crew._mourn, engines._Crew._ready

    def when_both_started(self):
        # else a quick machine is done with all before the other has started
        if not written and not self.load:
            self.ray.wait([*self.starting], num_returns=len(self.starting))
        yield from ready(self)

    def kill_at_fourth(*arguments):
        write(*arguments)
        written.append(said(*arguments))
        if len(written) == 4:
            started.remove_node(node, allow_graceful=False)

    def remember(self, number, error):
        died.append(number)
        mourn(self, number, error)

    monkeypatch.setattr(owner, name, kill_at_fourth)
    monkeypatch.setattr(engines._Crew, "_mourn", remember)
    monkeypatch.setattr(engines._Crew, "_ready", when_both_started)
    return engine, written, died


@pytest.mark.slow
def test_a_node_killed_while_it_encodes_loses_nothing(pictures, tiny, killed, tmp_path) -> None:
    (frame, root), (engine, written, died) = pictures, killed

    def run(name, engine=None):
        where = {"scratch": tmp_path / name, "provenance": {}, "code": "same"}
        encode(frame, root, tiny, tmp_path / f"{name}.zip", **where, shard_size=3, workers=1, engine=engine)
        return (tmp_path / f"{name}.zip").read_bytes()

    spread = run("spread", engine)
    keys = [key for shard in written for key in shard]
    assert died and None not in died, "a worker of the killed node was at a shard"
    assert len(keys) == len(set(keys)) == 59 + 5
    assert spread == run("here")


@pytest.mark.slow
def test_a_node_killed_while_it_inverts_loses_nothing(pictures, tiny, killed, tmp_path) -> None:
    (frame, root), (engine, written, died) = pictures, killed
    native = tmp_path / "native.zip"
    encode(frame, root, tiny, native, scratch=tmp_path, provenance={}, code="same", shard_size=64)
    written.clear()

    def run(name, engine=None):
        found = open_store(native)
        where = {"scratch": tmp_path / name, "code": "same", "batch_size": 4, "engine": engine}
        invert_store(
            found,
            chosen_images(found, "test"),
            tiny,
            Oti(),
            Recipe(steps=90),
            tmp_path / f"{name}.zip",
            **where,
        )
        return (tmp_path / f"{name}.zip").read_bytes()

    spread = run("spread", engine)
    keys = [key for shard in written for key in shard]
    assert died and None not in died
    assert len(keys) == len(set(keys)) == 60
    assert spread == run("here")


def test_a_machine_without_the_images_is_told_before_any_is_read(tiny, tmp_path) -> None:
    shard = _Shard("image", tiny, tmp_path / "photos", 32, 0)
    with pytest.raises(
        DatasetError, match=r"a worker of Ray on .* finds no images at .*photos: make them readable"
    ):
        shard.to("cpu")
    (tmp_path / "photos").mkdir()
    assert shard.to("cpu").root == tmp_path / "photos"
