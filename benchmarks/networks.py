"""What the serving benchmark asks, with random weights: an MLP, convnets small and large.

Images come with the channels last, as Cortex exports them, and are transposed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

MOBILENET = (  # expansion, channels, repeats, stride of the first: Sandler et al. 2018, table 2
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


@dataclass
class Tape:
    """A graph that is being written; every method returns the name of its result."""

    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    weights: list[onnx.TensorProto] = field(default_factory=list[onnx.TensorProto])
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One node."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, array: NDArray[Any]) -> str:
        """An array of the model."""
        name = f"w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(array, name))
        return name

    def random(self, *shape: int) -> str:
        """A weight whose layer keeps the scale of what it is given."""
        scale = np.sqrt(2 / max(1, int(np.prod(shape[1:]))))
        return self.constant((self.rng.normal(size=shape) * scale).astype(np.float32))

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        """A dense layer over the last axis."""
        return self.add("Gemm", x, self.random(outputs, inputs), self.random(outputs), transB=1)

    def convolution(
        self, x: str, channels: tuple[int, int], size: int, stride: int = 1, groups: int = 1
    ) -> str:
        """A convolution over (N, C, H, W) with a bias; only the stride changes the size."""
        before, after = channels
        kernel, bias = self.random(after, before // groups, size, size), self.random(after)
        return self.add(
            "Conv", x, kernel, bias, strides=[stride] * 2, pads=[size // 2] * 4, group=groups
        )

    def relu6(self, x: str) -> str:
        """min(max(x, 0), 6)."""
        low, high = (self.constant(np.array(value, np.float32)) for value in (0, 6))
        return self.add("Clip", x, low, high)


def mlp(tape: Tape, x: str) -> str:
    """784-128-10."""
    return tape.dense(tape.add("Relu", tape.dense(x, 784, 128)), 128, 10)


def convnet(tape: Tape, x: str) -> str:
    """Two 5×5 convolutions of 20 and 50 channels, each with a pooling, and two dense layers."""
    x = tape.add("Transpose", x, perm=[0, 3, 1, 2])
    for before, after in ((1, 20), (20, 50)):
        kernel, bias = tape.random(after, before, 5, 5), tape.random(after)
        x = tape.add("Relu", tape.add("Conv", x, kernel, bias))
        x = tape.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = tape.add("Relu", tape.dense(tape.add("Flatten", x), 800, 1000))
    return tape.dense(x, 1000, 10)


def mobilenet_v2(tape: Tape, x: str) -> str:
    """MobileNetV2 1.0 for 224×224, batch normalizations folded into the convolutions."""
    x = tape.add("Transpose", x, perm=[0, 3, 1, 2])
    x, channels = tape.relu6(tape.convolution(x, (3, 32), 3, 2)), 32
    for expansion, after, repeats, stride in MOBILENET:
        for place in range(repeats):
            x = _bottleneck(tape, x, channels, after, expansion, stride if place == 0 else 1)
            channels = after
    x = tape.relu6(tape.convolution(x, (channels, 1280), 1))
    x = tape.add("Flatten", tape.add("GlobalAveragePool", x))
    return tape.add("Softmax", tape.dense(x, 1280, 1000), axis=-1)


def vgg16(tape: Tape, x: str) -> str:
    """VGG16 for 224×224."""
    x, before = tape.add("Transpose", x, perm=[0, 3, 1, 2]), 3
    for after, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(repeats):
            x, before = tape.add("Relu", tape.convolution(x, (before, after), 3)), after
        x = tape.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = tape.add("Flatten", x)
    for inputs, outputs in ((25_088, 4096), (4096, 4096)):
        x = tape.add("Relu", tape.dense(x, inputs, outputs))
    return tape.add("Softmax", tape.dense(x, 4096, 1000), axis=-1)


def _bottleneck(tape: Tape, x: str, before: int, after: int, expansion: int, stride: int) -> str:
    wide, y = before * expansion, x
    if expansion > 1:
        y = tape.relu6(tape.convolution(y, (before, wide), 1))
    y = tape.relu6(tape.convolution(y, (wide, wide), 3, stride, groups=wide))
    y = tape.convolution(y, (wide, after), 1)
    return tape.add("Add", x, y) if stride == 1 and before == after else y


@dataclass(frozen=True)
class Network:
    """A network of the benchmark: the shape of one input, and how many callers ask it."""

    write: Callable[[Tape, str], str]
    shape: Sequence[int]
    classes: int
    callers: Sequence[int] = (1, 16, 64)
    batches: Sequence[int] = (1, 8, 32)

    def model(self) -> onnx.ModelProto:
        """The network as ONNX, from ``input`` to ``output``, for any number of rows."""
        tape = Tape()
        tape.nodes.append(helper.make_node("Identity", [self.write(tape, "input")], ["output"]))
        graph = helper.make_graph(
            tape.nodes,
            self.write.__name__,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *self.shape])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", self.classes])],
            tape.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        return model

    def images(self, rows: int) -> NDArray[np.float32]:
        """Random inputs."""
        return np.random.default_rng(1).random((rows, *self.shape), np.float32)


NETWORKS: Mapping[str, Network] = {
    "mlp": Network(mlp, (784,), 10),
    "convnet": Network(convnet, (28, 28, 1), 10),
    "mobilenet_v2": Network(mobilenet_v2, (224, 224, 3), 1000, callers=(1, 8, 16)),
    "vgg16": Network(vgg16, (224, 224, 3), 1000, callers=(1, 8), batches=(1, 8)),
}
