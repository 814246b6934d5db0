"""A model of Triton's Python backend that runs onnxruntime over a whole batch."""

import os
import sys
from pathlib import Path

sys.path.insert(0, os.environ["PYTHONPATH"])  # the backend's interpreter is isolated

import numpy
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One session, one thread of onnxruntime an instance."""

    def initialize(self, args):
        """Opens the model beside this file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = Path(__file__).with_name("model.onnx")
        self.session = onnxruntime.InferenceSession(str(path), options)

    def execute(self, requests):
        """Joins the requests, runs once, cuts the answer."""
        inputs = [triton.get_input_tensor_by_name(each, "input").as_numpy() for each in requests]
        found = self.session.run(None, {"input": numpy.concatenate(inputs)})[0]
        ends = numpy.cumsum([len(each) for each in inputs])[:-1]
        return [
            triton.InferenceResponse([triton.Tensor("output", part)])
            for part in numpy.split(found, ends)
        ]
