"""Keras files, of every generation: from the container to the graph.

hdf5.py ──▶ file.py ──▶ wiring.py ──▶ build.py ──▶ Network
 safe       the plain     calls         ▲ the converters of core.py, convolution.py, …,
 reading    facts                         one small function per Keras layer
"""
