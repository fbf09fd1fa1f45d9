"""What `dvc repro` would run: the cells, their items, and the disk space and time that they take."""
