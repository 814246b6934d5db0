"""Containers of strangers, read safely and known by their content: HDF5, zip, JSON, YAML."""
