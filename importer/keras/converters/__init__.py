"""From layers to operations: one small function per Keras layer, by family."""
