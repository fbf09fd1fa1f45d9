"""Errors that several parts of crossgap share."""


class DatasetError(ValueError):
    """A dataset can't be used as declared; the message names the items and the remedy."""


class Unavailable(ValueError):
    """A number, a correction or a task that these items don't allow; the message says what is missing.

    Raised where that is noticed. An evaluation makes a row of it and goes on; any other error is an error.
    """
