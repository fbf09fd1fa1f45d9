"""Training: the embedded backbone."""
