"""Modality inversion: a feature of one modality turned into one of the other by optimisation."""

from crossgap.inversion.invert import Inversion, oti, ovi
from crossgap.inversion.optimise import Recipe
from crossgap.inversion.stores import chosen_images, chosen_texts, invert_store

__all__ = ["Inversion", "Recipe", "chosen_images", "chosen_texts", "invert_store", "oti", "ovi"]
