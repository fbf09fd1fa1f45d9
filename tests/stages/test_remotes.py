"""Sharing over protocols of networks, on servers of this machine: S3's by moto, SSH's by OpenSSH's own sshd.

The real DVC and the real resolving, with the work of all other stages replaced; the store that is read in parts is an
import's, and real. They need `pip install dvc-s3 dvc-ssh`, `pip install 'moto[server]'` in an environment of its own,
whose `moto_server` is on the PATH (it and dvc-s3 ask for different releases of botocore), and
`apt install openssh-server`.
"""

from __future__ import annotations

import copy
import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from crossgap import open_store
from crossgap.stores import store
from tests.runs import run_of

pytestmark = pytest.mark.slow
STORE = "data/imports/mine/native.zarr.zip"
INVERSION = "data/features/nano/world/oti.zarr.zip"
FEATURES = np.random.default_rng(0).standard_normal((30_000, 16)).astype(np.float32)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(words: list[str], port: int) -> Iterator[None]:
    """A server that answers at a port."""
    with tempfile.TemporaryFile("w+") as log:  # a pipe that nobody reads would stop it
        server = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            for _ in range(300):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if server.poll() is not None:
                    log.seek(0)
                    raise AssertionError(log.read())
                time.sleep(0.1)
            else:
                raise AssertionError(f"{words[0]} does not answer")
            yield
        finally:
            server.kill()
            server.wait()


def needs(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"no package {module}")


class Remote:
    """Where DVC pushes to: `url`, settings of DVC's remote, how fsspec reaches a file of it, and who asks."""

    def __init__(self, url: str, settings: dict[str, str], options: dict, who: dict | None = None) -> None:
        self.url, self.settings, self.options, self.who = url, settings, options, who or {}


@pytest.fixture(scope="module")
def s3() -> Iterator[Remote]:
    needs("dvc_s3")
    program = shutil.which("moto_server")
    if program is None:
        pytest.skip("no moto_server on the PATH")
    port = free_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in keys.items():
            patched.setenv(name, value)
        with served([program, "-p", str(port)], port):
            address = f"http://127.0.0.1:{port}"
            urllib.request.urlopen(urllib.request.Request(f"{address}/team", method="PUT")).close()
            yield Remote("s3://team/store", {"endpointurl": address}, {"endpoint_url": address}, keys)


@pytest.fixture(scope="module")
def ssh(tmp_path_factory) -> Iterator[Remote]:
    needs("dvc_ssh")
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        pytest.skip("no sshd")
    folder, port = tmp_path_factory.mktemp("sshd"), free_port()
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "key.pub", folder / "authorized")
    sftp = next(path for path in Path("/usr/lib").rglob("sftp-server") if path.is_file())
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'authorized'}\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nSubsystem sftp {sftp}\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it drops its rights
    with served([sshd, "-D", "-e", "-f", str(folder / "config")], port):
        user, key = getpass.getuser(), str(folder / "key")
        yield Remote(
            f"ssh://{user}@127.0.0.1:{port}{folder / 'store'}",
            {"keyfile": key},
            {"client_keys": [key], "known_hosts": None},
        )


@pytest.fixture(scope="module")
def first(tmp_path_factory, stubbed):
    """A project of one cell, run once, with an import."""
    made = stubbed(tmp_path_factory.mktemp("remotes") / "first")
    cell = {"backbones": ["nano"], "datasets": ["world"]}
    made.edit("run", run_of(**cell, oti=cell, ovi=cell))
    for section in ("finetune", "pretrain", "idealised"):
        made.edit(section, {})
    with store.creating(made / STORE, made / "data/scratch", {"backbone": "theirs"}) as writer:
        ids = np.arange(len(FEATURES)).astype(str)
        writer.add("image/test", {"id": ids}, [{"features": FEATURES}])
    made.command("dvc", "add", str(Path(STORE).parent))
    made.repro()
    made.commit()
    return made


@pytest.mark.parametrize("protocol", ["s3", "ssh"])
def test_a_colleague_takes_all_over_the_network_and_runs_what_a_change_touches(
    protocol, request, first, tmp_path
) -> None:
    """A runs and pushes; B pulls, changes a step count and runs oti and the report alone; A takes that from B."""
    remote = request.getfixturevalue(protocol)
    here = copy.copy(first)
    here.folder = shutil.copytree(first.folder, tmp_path / "here")
    here.environment = {**first.environment, **remote.who, "PYTHONPATH": str(here.folder)}
    here.command("dvc", "remote", "add", "-d", "team", remote.url)
    here.commit()
    there = here.cloned(tmp_path / "there")
    for clone in (here, there):
        for name, value in remote.settings.items():
            clone.command("dvc", "remote", "modify", "--local", "team", name, value)
    here.command("dvc", "push", "-q", "--run-cache")

    there.command("dvc", "pull", "-q", "--run-cache")
    assert (there / STORE).read_bytes() == (here / STORE).read_bytes()
    assert there.repro() == set()
    there.edit("oti.steps", 77)
    # the replaced oti makes the same store, so nothing is evaluated again
    assert there.repro() == {"resolve", "oti@nano-world", "report"}
    there.command("dvc", "push", "-q", "--run-cache")
    here.edit("oti.steps", 77)
    assert here.repro("--pull") == {"resolve"}
    assert (here / INVERSION).read_bytes() == (there / INVERSION).read_bytes()

    url = here.command("dvc", "get", "--show-url", ".", STORE).split()[-1]
    assert url.startswith(remote.url.partition("://")[0])
    held = open_store(url, **remote.options)["image/test"]
    np.testing.assert_array_equal(held.rows("features", [29_999, 0]), FEATURES[[29_999, 0]])
