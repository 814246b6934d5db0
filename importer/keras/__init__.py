"""Keras files, of every generation: from the container to the graph.

containers/ ──▶ file.py ──▶ wiring.py ──▶ build.py ──▶ Network
 safe reading    the plain    calls         ▲ converters/
                 facts, keras1/               one small function per Keras layer
                                            witness/ asks real Keras what it should compute
"""
