"""MLServer's custom runtime for an ONNX model; the folder it serves has a copy of this file."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxRuntime(MLModel):
    """One session."""

    async def load(self) -> bool:
        """Opens the model."""
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answers with the model's output."""
        found = self.session.run(None, {"input": NumpyCodec.decode_input(payload.inputs[0])})[0]
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("output", found)]
        )
