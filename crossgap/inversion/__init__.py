"""Modality inversion: a feature of one modality turned into one of the other by optimisation."""
