"""What `dvc repro` would run: its cells, their items, the room and the time that they take."""
