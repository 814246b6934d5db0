"""Writes networks as models of Keras 3, without Keras."""
