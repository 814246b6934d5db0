"""Networks of neon: its pickles (.prm, .pkl), and the YAML of both of its generations."""
