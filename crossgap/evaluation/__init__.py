"""All measures of one cell: stores in, flat metrics and per-query tables out.

Which tasks a cell has follows from what its stores hold: images, captions, class prompts, labellings, inversions.
"""

from crossgap.evaluation.cell import Cell, EvaluationError
from crossgap.evaluation.evaluating import Evaluation, evaluate

__all__ = ["Cell", "Evaluation", "EvaluationError", "evaluate"]
