"""ONNX's own test data: what the format's keepers say each operator computes.

A case that is not read has to say why, in one of the words below; one that is read has to come out.
Some have for an input what is an array of the file in every model (weights, axes, pads): these are
read as such.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.backend.test import loader

from cortex.importer.onnx import call
from cortex.importer.onnx.build import described
from cortex.importer.onnx.file import read_file
from cortex.runtime.errors import CortexError, Unsupported

from .onnx_files import saved

OPERATORS = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil
Celu Clip Concat Constant Conv ConvTranspose Cos Cosh CumSum DepthToSpace Div Dropout Einsum Elu
Equal Erf Exp Expand Flatten Floor GRU Gather GatherElements Gelu Gemm GlobalAveragePool
GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity
InstanceNormalization LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
LpNormalization MatMul Max MaxPool Mean Min Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow RNN Range
Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
ReduceSum ReduceSumSquare Relu Reshape Resize Round Selu Shape Shrink Sigmoid Sign Sin Sinh Size
Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu
Tile Transpose Unsqueeze Upsample Where Xor
""".split()  # noqa: SIM905
"""What is read wherever it stands."""
ONLY_OF_CONSTANTS = ["ConstantOfShape", "Trilu"]
"""What is read as the arithmetic of shapes."""
WITHOUT_CASES = ["Cast", "Constant", "ConstantOfShape", "Range", "Shape", "Size", "Trilu"]
"""Their cases are about constants that are outputs of a model, and types that are not read."""

REASONS = {
    "a type that is none of float32, int32, int64, bool": r"its elements are|a cast to"
    r"|a constant of|which is not supported",
    "a value without axes, or none of its elements": r"has no axes|holds nothing|nothing is left"
    r"|are not an axis of|of known axes",
    "an output that no input changes": r"it is a constant$",
    "more outputs than the first": r"(mask|mean|indices) (is|are) wanted",
    "of the training": r"in training mode",
    "the batch is taken apart": r"axis 0 is the batch|the same for rows|batch's letter",
    "images of a size that is no multiple": r"times as large|the mode|is too large",
    "options that are not read": r": \w+ \S+ is not supported$|: \w+ \[.*\] is not supported$"
    r"|reduces no axes|peepholes|is above high|different lengths",
    "integers where floats are computed": r"computes floats|a division of integers|takes float"
    r"|different dtypes|compares numbers|no two floats",
    "what is no constant": r"only a constant|only of constants|is not known",
    "an equation without a result": r"names no result|equation",
}


class Case(NamedTuple):
    """A model, inputs, and outputs to expect."""

    name: str
    model: ModelProto
    inputs: Sequence[Any]
    outputs: Sequence[Any]


@functools.cache
def by_operator() -> Mapping[str, Sequence[Case]]:
    """The cases of each operator; those of functions written in others stand under "expanded"."""
    found: dict[str, list[Case]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in loader.load_model_tests(kind="node"):
            assert case.model is not None
            kinds = {one.op_type for one in case.model.graph.node}
            key = "expanded" if len(kinds) > 1 or "_expanded" in case.name else min(kinds)
            if kinds <= call.onnx.keys() | call.folds.keys():
                for inputs, outputs in case.data_sets or ():
                    found.setdefault(key, []).append(Case(case.name, case.model, inputs, outputs))
    return found


def stored(kind: str) -> Iterator[Case]:
    """The cases that the package has as files."""
    for case in loader.load_model_tests(kind=kind):
        assert case.model_dir is not None
        folder = Path(case.model_dir)
        proto = onnx.load(folder / "model.onnx")
        if not {one.op_type for one in proto.graph.node} <= call.onnx.keys():
            continue
        for data in sorted(folder.glob("test_data_set_*")):
            inputs, outputs = (
                [numpy_helper.to_array(onnx.load_tensor(file)) for file in files]
                for files in (sorted(data.glob("input_*")), sorted(data.glob("output_*")))
            )
            yield Case(case.name, proto, inputs, outputs)


def near(case: Case) -> Case:
    """The case in single precision if it is in double, and with its first output alone."""
    if "cast" in case.name:  # which is about precision
        return case
    proto = ModelProto()
    proto.CopyFrom(case.model)
    for value in (*proto.graph.input, *proto.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    if proto.graph.node[0].op_type in OF_SEVERAL_OUTPUTS and len(proto.graph.node) == 1:
        del proto.graph.output[1:], proto.graph.node[0].output[1:]

    def single(array: Any) -> Any:
        is_double = isinstance(array, np.ndarray) and array.dtype == np.float64
        with np.errstate(over="ignore"):
            return array.astype(np.float32) if is_double else array

    outputs = case.outputs[: len(proto.graph.output)]
    return Case(case.name, proto, [single(x) for x in case.inputs], [single(x) for x in outputs])


OF_SEVERAL_OUTPUTS = ("Dropout", "LayerNormalization", "MaxPool")


def tried(case: Case, path: Path) -> str:
    """Why the case is not read; "" if it came out."""
    case = near(case)
    try:
        return computed(case.model, case.inputs, case.outputs, path)
    except CortexError as error:
        first = error
    if len(case.inputs) < 2 or not isinstance(first, Unsupported):
        return str(first)
    fixed = ModelProto()
    fixed.CopyFrom(case.model)
    given = [value.name for value in fixed.graph.input][1:]
    del fixed.graph.input[1:]
    for name, array in zip(given, case.inputs[1:], strict=True):
        if name and array is not None:
            is_stored = isinstance(array, TensorProto)
            fixed.graph.initializer.append(
                array if is_stored else numpy_helper.from_array(np.asarray(array), name)
            )
    try:
        return computed(fixed, case.inputs[:1], case.outputs, path)
    except CortexError as error:
        return str(error)


def computed(proto: ModelProto, inputs: Any, outputs: Any, path: Path) -> str:
    """Runs the model on NumPy and holds it against the outputs, as ONNX's own runner does."""
    network = described(read_file(saved(path, proto))).network
    arrays = {tensor.name for tensor in proto.graph.initializer}
    names = [value.name for value in proto.graph.input if value.name not in arrays]
    with np.errstate(all="ignore"):  # some cases are about what is no number
        found = network.run(dict(zip(names, inputs, strict=True)))
    for (name, value), expected in zip(found.items(), outputs, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-6, err_msg=name)
        assert value.shape == np.asarray(expected).shape
    return ""


def test_the_operators_are_those_that_are_stated() -> None:
    assert sorted(call.onnx) == OPERATORS
    assert sorted(call.folds.keys() - call.onnx.keys()) == ONLY_OF_CONSTANTS


@pytest.mark.slow  # it takes the package some ten seconds to make the cases
@pytest.mark.parametrize("kind", [*OPERATORS, *ONLY_OF_CONSTANTS, "expanded"])
def test_an_operator_computes_what_onnx_says(kind: str, tmp_path: Path) -> None:
    came_out = 0
    for case in by_operator().get(kind, []):
        why = tried(case, tmp_path / "case.onnx")
        came_out += not why
        assert not why or any(re.search(words, why) for words in REASONS.values()), (
            f"{case.name}: {why}"
        )
    assert (came_out == 0) == (kind in WITHOUT_CASES)


@pytest.mark.parametrize("kind", ["simple", "pytorch-converted", "pytorch-operator"])
def test_models_that_come_with_onnx(kind: str, tmp_path: Path) -> None:
    for case in stored(kind):
        why = tried(case, tmp_path / "case.onnx")
        assert not why or any(re.search(words, why) for words in REASONS.values()), (
            f"{case.name}: {why}"
        )
