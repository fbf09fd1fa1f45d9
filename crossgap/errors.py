"""Errors that carriers and readers share."""


class DatasetError(ValueError):
    """A dataset can't be used as declared; the message names the items and the remedy."""
