from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest


class _Python2(pickle._Pickler):
    """Writes as Python 2 and the numpy of its days did: text and bytes are both `str`, which is bytes."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_str(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        if not self.bin:
            self.write(b"S" + ("'" + "".join(f"\\x{byte:02x}" for byte in data) + "'\n").encode())
        elif len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_str

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = obj.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{name or obj.__qualname__}\n".encode())
        self.memoize(obj)

    dispatch[type] = save_global


@pytest.fixture(scope="session")
def python2() -> Callable[[Any, int], bytes]:
    """The bytes of an object's pickle as Python 2 writes it, by protocol, 0 to 2."""

    def dumped(held: Any, protocol: int = 2) -> bytes:
        file = io.BytesIO()
        _Python2(file, protocol).dump(held)
        return file.getvalue()

    return dumped
