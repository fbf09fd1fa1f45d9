"""The tables that `prepare` writes of a dataset: its items, judgements, transformations, and what was set aside."""
