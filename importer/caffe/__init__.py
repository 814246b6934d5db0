"""Caffe's files: architectures in text (prototxt), weights with their layers (caffemodel)."""
