"""Feature stores (zarr), and the shards that they are made of: written once, whole, and found again after a stop."""
