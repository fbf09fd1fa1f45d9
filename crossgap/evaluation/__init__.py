"""All measures of one cell: stores in, flat metrics and per-query tables out.

Which tasks a cell has follows from what its stores hold: images, captions, class prompts, labellings, inversions.
"""

# a module of a task doesn't load the others: what a part of an evaluation depends on is its own module's imports
from crossgap.lazy import when_used

_PUBLIC = {
    "Cell": "crossgap.evaluation.cell",
    "EvaluationError": "crossgap.evaluation.cell",
    "Evaluation": "crossgap.evaluation.evaluation",
    "evaluate": "crossgap.evaluation.evaluation",
    "compare": "crossgap.evaluation.between",
}
__all__ = [*_PUBLIC]
__getattr__, __dir__ = when_used(__name__, _PUBLIC)
