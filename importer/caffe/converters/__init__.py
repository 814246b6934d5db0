"""Converters of Caffe's layers, by family."""
