"""Retrieval by cosine similarity: blocked exact ranking and the metrics read from it."""

from crossgap.retrieval.metrics import retrieval_metrics, summarise

__all__ = ["retrieval_metrics", "summarise"]
