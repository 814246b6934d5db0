"""Trainings described in YAML: read, checked with the path of what is wrong, built and run."""
