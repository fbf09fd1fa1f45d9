"""Feature stores (zarr), and the shards that they are made of, which an interrupted run finds again."""
