"""Scripts that are not pipeline stages."""
