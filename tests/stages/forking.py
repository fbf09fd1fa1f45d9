"""`python -m` without the seconds that libraries take to import: each process is a fork of one that has them.

Run as `forking.py SERVER`, it imports the libraries, none of them ours, and waits at the socket SERVER. The `python` of
`Forking` hands its words, variables, folder and streams to it, and ends as the process did that ran them.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

LIBRARIES = (
    "dvclive", "open_clip", "pandas", "pyarrow.parquet", "pydantic",
    "safetensors.torch", "scipy.stats", "timm", "torch", "tqdm", "typer", "yaml", "zarr",
)  # fmt: skip
CLIENT = """#!{python} -ISB
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({server!r})
    told = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    streams = array.array("i", [0, 1, 2])
    server.sendmsg([len(told).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    server.sendall(told)
    ended = server.recv(1)
os._exit(ended[0] if ended else 255)
"""


class Forking:
    """A server, and where the `python` is that asks it."""

    def __init__(self, folder: Path) -> None:
        path = folder / "server"
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "python").write_text(CLIENT.format(python=sys.executable, server=str(path)))
        (self.bin / "python").chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DVC_NO_ANALYTICS": "1"}
        self.process = subprocess.Popen([sys.executable, __file__, str(path)], env=environment)
        while not path.exists():
            assert self.process.poll() is None, "it ended while it imported"
            time.sleep(0.05)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def asked(server: socket.socket) -> tuple[list[str], str, dict[str, str], socket.socket]:
    """In a process of its own, what one client wants run, with its streams as ours, and the client."""
    while True:
        client, _ = server.accept()
        if os.fork():
            client.close()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        size, said, _, _ = client.recvmsg(8, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        streams = array.array("i", said[0][2])
        text = b""
        while len(text) < int.from_bytes(size, "big"):
            text += client.recv(1 << 20)
        for ours, theirs in enumerate(streams):
            os.dup2(theirs, ours)
            os.close(theirs)
        words, folder, variables = json.loads(text)
        return words, folder, variables, client


def main(path: str) -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    assert not [name for name in sys.modules if name.partition(".")[0] in ("crossgap", "stages")]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has ended is waited for by the fork that made it
    gc.freeze()  # what is never collected stays in memory that all share
    given = sys.path[1:]
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{path}.new")
    server.listen()
    os.rename(f"{path}.new", path)
    words, folder, variables, client = asked(server)
    server.close()
    if child := os.fork():
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        client.sendall(bytes([ended if ended >= 0 else 128 - ended]))
        os._exit(0)
    client.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = [folder, *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep)), *given]
    sys.modules.pop("sitecustomize", None)
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("sitecustomize")
    option, module, *rest = words
    assert option == "-m"
    sys.argv[:] = [option, *rest]
    code: object = None
    try:
        runpy._run_module_as_main(module)  # as `python -m` does
    except SystemExit as asked_for:
        code = asked_for.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    # to take all the libraries down costs half a second
    os._exit(1 if isinstance(code, str) else int(code or 0))


if __name__ == "__main__":
    main(sys.argv[1])
