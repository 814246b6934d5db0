"""Keras files, of every generation: from the container to the graph.

hdf5.py, archive.py, text.py ──▶ file.py ──▶ wiring.py ──▶ build.py ──▶ Network
 safe reading, by content         the plain    calls         ▲ the converters of families.py,
 (sniff.py, probe.py)             facts                        one small function per Keras layer
"""
