"""Datasets: `declared`, what `params.yaml` says of one; `readers`, by layout; and what is made of both."""

from crossgap.datasets.declared import *  # noqa: F403
from crossgap.datasets.declared import __all__ as __all__
