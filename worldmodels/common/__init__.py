"""What has no meaning of its own: parameters, seeds, files, devices, processes."""
