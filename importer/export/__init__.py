"""Writes networks into files that other tools read: ONNX, Keras, safetensors."""
