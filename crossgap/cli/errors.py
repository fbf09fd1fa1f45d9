"""Errors of the command line."""

from __future__ import annotations

import sys

from crossgap.errors import is_told, said


class explained:  # noqa: N801 - used as a context
    """An error in what the user gave, or of the machine's, is a message; any other keeps its traceback."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception) and is_told(error):
            sys.exit(f"crossgap: {said(error)}")
