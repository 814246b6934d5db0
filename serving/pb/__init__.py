"""Generated from protos/open_inference_grpc.proto by protos/generate.py; not edited by hand."""
