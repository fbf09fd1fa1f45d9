"""The tables that `prepare` writes of a dataset: its items, what is relevant to what, and what was set aside."""
