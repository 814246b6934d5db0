"""Forms: products with weights, and tables of them."""

from __future__ import annotations

from .....runtime import ops
from .....runtime.equation import Equation
from .....runtime.tensor import Size
from ..model import Output
from ..node import CONSTANTS, Node, form, sizes


@form(ops.Dense)
def dense(node: Node, op: ops.Dense, x: Output) -> Output:
    return node.layer("Dense", x, units=op.units, use_bias=op.use_bias, arrays=node.arrays)


@form(ops.Embedding)
def embedding(node: Node, op: ops.Embedding, x: Output) -> Output:
    arrays = {"embeddings": node.arrays["table"]}
    return node.layer("Embedding", x, input_dim=op.vocabulary, output_dim=op.units, arrays=arrays)


@form(ops.EinsumDense)
def einsum_dense(node: Node, op: ops.EinsumDense, x: Output) -> Output:
    y, equation = (
        node.results[0],
        Equation.of(op.equation, (node.type().rank, len(op.kernel_shape))),
    )
    arrays = dict(node.arrays)
    axes = _bias_axes(op.bias_shape or (), y.shape, equation.result)
    if _is_layer(equation) and axes is not None:
        if axes:
            arrays["bias"] = arrays["bias"].reshape(_without_first_ones(arrays["bias"].shape))
        return node.layer(
            "EinsumDense",
            x,
            equation=str(equation),
            output_shape=sizes(y.shape[1:]),
            bias_axes=axes or None,
            arrays=arrays,
        )
    node.note(CONSTANTS)
    product = node.operation("numpy.Einsum", x, arrays["kernel"], subscripts=str(equation))
    return node.operation("numpy.Add", product, arrays["bias"]) if op.bias_shape else product


def _is_layer(equation: Equation) -> bool:
    """Whether it is a product as the layer of Keras takes it: the batch comes first."""
    given, kernel = equation.operands
    batch = given[:1]
    return bool(kernel) and equation.result[:1] == batch and batch not in kernel


def _without_first_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    first = next((i for i, n in enumerate(shape) if n != 1), len(shape) - 1)
    return shape[first:]


def _bias_axes(shape: tuple[int, ...], result: tuple[Size, ...], letters: str) -> str | None:
    """The letters along which a bias has the sizes of the result; None if it has others."""
    own = _without_first_ones(shape) if shape else ()
    places = range(-len(own), 0)
    axes = [axis for axis in places if own[axis] == result[axis]]
    if any(own[axis] != 1 for axis in places if axis not in axes) or axes[:1] != [*places][:1]:
        return None
    return "".join(letters[axis] for axis in axes)
