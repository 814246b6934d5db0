"""Training: steps over shards, the loop around them, and what listens to it."""
