"""Scripts that are no stage of the pipeline."""
