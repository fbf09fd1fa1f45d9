"""Retrieval by cosine similarity: blocked exact ranking and the metrics read from it."""

from crossgap.metrics.retrieval.queries import judged_metrics, retrieval_metrics, summarise
from crossgap.metrics.retrieval.revisited import revisited_judgements

__all__ = ["judged_metrics", "retrieval_metrics", "revisited_judgements", "summarise"]
