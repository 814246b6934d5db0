"""KServe's Python server: kserve_server.py NAME MODEL.onnx GRPC_PORT HTTP_PORT."""

import sys

import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

name, path, grpc_port, http_port = sys.argv[1:]


class Served(Model):
    """One session, as its documentation's examples have it."""

    def __init__(self):
        super().__init__(name)
        self.session = onnxruntime.InferenceSession(path)
        self.ready = True

    def predict(self, payload: InferRequest, headers=None, response_headers=None):
        """Answers with the model's output."""
        found = self.session.run(None, {"input": payload.inputs[0].as_numpy()})[0]
        output = InferOutput("output", list(found.shape), "FP32")
        output.set_data_from_numpy(found)
        return InferResponse(payload.id, name, [output])


ModelServer(http_port=int(http_port), grpc_port=int(grpc_port), workers=1).start([Served()])
