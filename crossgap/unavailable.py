"""What can't be had of what there is."""

from __future__ import annotations


class Unavailable(ValueError):
    """A number, a correction or a task that these items don't allow; the message says what is missing.

    Raised where that is noticed. An evaluation makes a row of it and goes on; any other error is an error.
    """
