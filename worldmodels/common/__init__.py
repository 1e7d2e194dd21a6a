"""Shared infrastructure: parameters, seeds, files, devices, processes."""
