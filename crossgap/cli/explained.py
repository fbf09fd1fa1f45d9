"""Errors of the command line."""

from __future__ import annotations

import sys

from crossgap.errors import said


class explained:  # noqa: N801 - used as a context
    """An error in what the user gave is a message, not a traceback."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, (ValueError, OSError)) and not isinstance(error, BrokenPipeError):
            sys.exit(f"crossgap: {said(error)}")
