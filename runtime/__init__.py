"""The graph of a network, the plans that run and train it on NumPy or CuPy, and its export to ONNX.

Importing this package loads none of grpc, onnxruntime, h5py or cupy; take what you need from its
modules:

    from cortex.runtime.network import Network
"""
