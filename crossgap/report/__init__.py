"""The report: evaluated cells in, one self-contained HTML page out."""

from __future__ import annotations

from crossgap.report.idealised import Experiment
from crossgap.report.page import render
from crossgap.report.results import Results
from crossgap.report.trainings import Training

__all__ = ["Experiment", "Results", "Training", "render"]
