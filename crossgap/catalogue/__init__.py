"""What is known of the papers' datasets and backbones beside what params.yaml declares."""
