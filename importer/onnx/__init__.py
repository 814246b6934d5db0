"""Reads ONNX models: a third table of converters to the graph.

A model with an operator that the table has not is served as it is.
"""
