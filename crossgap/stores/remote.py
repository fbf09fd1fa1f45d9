"""Files elsewhere, read a part at a time: `s3://bucket/…`, `ssh://host/…`, whatever fsspec knows by its protocol."""

from __future__ import annotations

import io
import re
import threading
import weakref
import zipfile
from pathlib import Path
from typing import Any

from crossgap.errors import CrossgapError
from crossgap.stores.zipped import ZipReader

# bytes read at least, and beyond what is asked for: a zip's table of contents is read in small parts
AHEAD = 1 << 16
LEAST = 22  # bytes of a zip


class RemoteError(CrossgapError):
    """A file elsewhere can't be opened; the message says what fsspec says, and the remedy."""


def is_remote(path: str | Path) -> bool:
    """Whether it is a URL, or a chain of them, such as `simplecache::s3://bucket/…`."""
    return isinstance(path, str) and re.match(r"([a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+://", path) is not None


class RemoteReader(ZipReader):
    """A zip elsewhere: its table of contents is read first, then of each entry the parts that are asked for."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.url, self.options = url, options
        super().__init__(Path(url))

    def _opened(self) -> zipfile.ZipFile:
        file = opened(self.url, self.options)
        weakref.finalize(self, file.close)  # a zip closes only what it opened
        try:
            return zipfile.ZipFile(file)
        # of fsspec: a server that gives no parts of files; or less than any zip's end
        except ValueError as error:
            size = getattr(file, "size", None)
            if size is not None and size < LEAST:
                raise
            raise RemoteError(
                f"{self.url} can't be read in parts: {error}: copy it here, and open the copy"
            ) from error

    @property
    def descriptor(self) -> None:
        return None

    def _sync_open(self) -> None:
        self._lock = threading.RLock()
        self._zf, self._is_open = self.__dict__.get("_archive") or self._opened(), True

    def __str__(self) -> str:
        return self.url


def opened(url: str, options: dict[str, Any]) -> io.BufferedIOBase:
    """A file elsewhere, to seek and to read.

    Raises:
        RemoteError: no such protocol, its library is missing, no such file, or no right to it.
        OSError: it doesn't answer.
    """
    import fsspec

    try:
        files, path = fsspec.url_to_fs(url, **options)
        return files.open(path, "rb", cache_type="readahead", block_size=AHEAD)
    except FileNotFoundError as error:
        why = error.__cause__  # fsspec says so too of a server that doesn't answer
        said = (
            "no such file" if why is None or getattr(why, "status", None) == 404 else f"no such file: {why}"
        )
        raise RemoteError(f"{url}: {said}: `dvc push` brings stores to a remote") from None
    except (ImportError, PermissionError, ValueError) as error:
        raise RemoteError(f"{url} can't be opened: {error}") from error
