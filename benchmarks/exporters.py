"""Other ways from a Keras file to ONNX, each in an environment of its own that is made once.

The exporters of Keras 3 are three: tf2onnx on tensorflow, jax2onnx on jax, PyTorch's own on torch.
Keras exports only a model that has run once. tf_keras does not read the configuration that Keras 3
writes, so its architecture is built anew and takes its weights from the file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import environments
from environments import said

LOAD = """
import sys, numpy, keras
model = keras.models.load_model(sys.argv[2], compile=False)
"""
EXPORT = f"""{LOAD}
model(numpy.zeros((1, *model.input_shape[1:]), "float32"))
model.export(sys.argv[3], format="onnx", verbose=False)
"""
TF_KERAS = """
import sys, tf_keras, tf2onnx
model = getattr(tf_keras.applications, sys.argv[1])(weights=None)
model.load_weights(sys.argv[2])
tf2onnx.convert.from_keras(model, output_path=sys.argv[3])
"""
VERSIONS = """
import sys
from importlib.metadata import PackageNotFoundError, version
try:
    print(*(f"{name} {version(name)}" for name in sys.argv[1:]), sep=", ")
except PackageNotFoundError as error:
    sys.exit(f"{error.name} is not installed")
"""


@dataclass(frozen=True)
class Peer:
    """A way to read a file, and mostly to convert it.

    Attributes:
        environment: whose packages it runs on, see the module; empty: this interpreter's.
        packages: what has to be there, and whose versions are told.
    """

    title: str
    environment: str
    backend: str
    packages: Sequence[str]
    script: str = EXPORT

    def command(self, python: str, model: str, file: Path, folder: Path) -> list[str]:
        """Reads ``file``, an application of Keras called ``model``; writes into ``folder``."""
        return [python, "-c", self.script, model, str(file), str(folder / "model.onnx")]

    @property
    def variables(self) -> dict[str, str]:
        """Of its process; no peer is to take a GPU, for Cortex takes none."""
        return {
            "KERAS_BACKEND": self.backend,
            "CUDA_VISIBLE_DEVICES": "-1",
            "JAX_PLATFORMS": "cpu",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }


LOAD_ONLY = Peer("Keras 3 on jax, load only", "", "jax", ("keras", "jax"), LOAD)
TENSORFLOW = Peer(
    "Keras 3 on tensorflow, export",
    "keras-tensorflow",
    "tensorflow",
    ("keras", "tensorflow", "tf2onnx"),
)
PEERS: Sequence[Peer] = (
    LOAD_ONLY,
    Peer("Keras 3 on jax, export", "keras-jax", "jax", ("keras", "jax", "jax2onnx")),
    Peer("Keras 3 on torch, export", "keras-torch", "torch", ("keras", "torch", "onnxscript")),
    TENSORFLOW,
    Peer(
        "tf_keras, tf2onnx",
        "keras-tensorflow",
        "tensorflow",
        ("tf_keras", "tensorflow", "tf2onnx"),
        TF_KERAS,
    ),
)


def interpreter(peer: Peer, folder: Path) -> str:
    """The Python that runs a peer; its environment is made in ``folder`` if it is not there yet.

    Raises:
        Unavailable: the environment cannot be made.
    """
    return (
        environments.interpreter(peer.environment, folder) if peer.environment else sys.executable
    )


def versions(peer: Peer, python: str) -> str:
    """The versions of the packages that a peer needs.

    Raises:
        Unavailable: one of them is not there.
    """
    return said([python, "-c", VERSIONS, *peer.packages])
