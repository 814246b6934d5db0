"""The table: one function an operator of ONNX, by family."""
