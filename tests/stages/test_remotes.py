"""Sharing over protocols of networks, on servers of this machine: S3's by moto, SSH's by OpenSSH's own sshd.

They need `pip install 'moto[server]' dvc-s3` and `apt install openssh-server`, `pip install dvc-ssh`.
"""

from __future__ import annotations

import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from crossgap import open_store

pytestmark = pytest.mark.slow
STORE = "data/features/nano/world/native.zarr.zip"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def served(words: list[str], port: int, **options) -> subprocess.Popen:
    """A server that answers at a port."""
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        assert server.poll() is None, server.stderr.read()
        time.sleep(0.1)
    server.kill()
    raise AssertionError(f"{words[0]} does not answer")


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
    needs("moto", "flask", "dvc_s3")
    import boto3

    port = free_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in keys.items():
            patched.setenv(name, value)
        server = served([sys.executable, "-m", "moto.server", "-p", str(port)], port)
        try:
            address = f"http://127.0.0.1:{port}"
            boto3.client("s3", endpoint_url=address).create_bucket(Bucket="team")
            yield Remote("s3://team/store", {"endpointurl": address}, {"endpoint_url": address}, keys)
        finally:
            server.kill()
            server.wait()


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
    Path("/run/sshd").mkdir(exist_ok=True)  # where it drops its rights
    server = served([sshd, "-D", "-e", "-f", str(folder / "config")], port)
    try:
        user, key = getpass.getuser(), str(folder / "key")
        yield Remote(
            f"ssh://{user}@127.0.0.1:{port}{folder / 'store'}",
            {"keyfile": key},
            {"client_keys": [key], "known_hosts": None},
        )
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("protocol", ["s3", "ssh"])
def test_a_colleague_takes_all_over_the_network_and_runs_what_a_change_touches(
    protocol, request, project, tmp_path
) -> None:
    """The real stages: A runs and pushes, B pulls, changes a step count and runs oti and what follows it alone."""
    remote = request.getfixturevalue(protocol)
    first = project
    first.environment |= remote.who
    cell = {"backbones": ["nano"], "datasets": ["world"]}
    first.edit(run=first.run_of(**cell, oti=cell, ovi=cell))
    first.dvc("remote", "add", "-f", "-d", protocol, remote.url)
    for name, value in remote.settings.items():
        first.dvc("remote", "modify", "--local", protocol, name, value)
    first.repro()
    first.commit()
    first.dvc("push", "-q", "--run-cache")

    there = first.cloned(tmp_path / "clone")
    for name, value in remote.settings.items():
        there.dvc("remote", "modify", "--local", protocol, name, value)
    there.dvc("pull", "-q", "--run-cache")
    assert (there / STORE).read_bytes() == (first / STORE).read_bytes()
    assert there.repro() == set()
    there.edit(**{"oti.steps": 3})
    ran = there.repro()
    assert "oti@nano-world" in ran and not {
        name for name in ran if name.startswith(("prepare", "encode", "ovi"))
    }
    there.dvc("push", "-q", "--run-cache")
    first.edit(**{"oti.steps": 3})
    assert first.repro("--pull") == {"resolve"}
    inversion = "data/features/nano/world/oti.zarr.zip"
    assert (first / inversion).read_bytes() == (there / inversion).read_bytes()
    first.edit(**{"oti.steps": 2})

    url = first.dvc("get", "--show-url", ".", STORE).split()[-1]
    assert url.startswith(remote.url.partition("://")[0])
    held, local = open_store(url, **remote.options), open_store(first / STORE)
    np.testing.assert_array_equal(held["image/test"].rows("features", np.array([3, 0])),
                                  local["image/test"].features[[3, 0]])  # fmt: skip
