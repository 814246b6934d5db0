"""Every layer of Caffe that is read, on a tensor as it comes in and on one that lies otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from cortex.importer import load
from cortex.importer.caffe.build import supported

from .caffe_files import Array, Net


class Case(NamedTuple):
    """A layer: its type, its options, the shapes of its arrays, and of its bottoms."""

    kind: str
    options: dict[str, Any]
    arrays: tuple[tuple[int, ...], ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ((3, 6, 5),)
    tops: int = 1
    positive: bool = False

    @property
    def title(self) -> str:
        return f"{self.kind} {' '.join(f'{k}={v}' for k, v in self.options.items())}"


PAIR, TRIPLE = ((3, 6, 5),) * 2, ((3, 6, 5),) * 3
VECTOR = ((7,),)

CASES = (
    Case("Convolution", {"num_output": 4, "kernel_h": 3, "kernel_w": 2, "stride": [2, 1], "pad": 1},
         ((4, 3, 3, 2), (4,))),
    Case("Convolution", {"num_output": 6, "kernel_size": 3, "group": 3, "bias_term": False},
         ((6, 1, 3, 3),)),
    Case("Convolution", {"num_output": 2, "kernel_size": 2, "dilation": 2}, ((2, 3, 2, 2), (2,))),
    Case("Deconvolution", {"num_output": 3, "kernel_size": 4, "stride": 2, "pad": 1, "group": 3,
                           "bias_term": False}, ((3, 1, 4, 4),)),
    Case("Deconvolution", {"num_output": 4, "kernel_size": 3, "stride": 3}, ((3, 4, 3, 3), (4,))),
    Case("InnerProduct", {"num_output": 4}, ((4, 90), (4,))),
    Case("InnerProduct", {"num_output": 4, "bias_term": False, "transpose": True}, ((90, 4),)),
    Case("InnerProduct", {"num_output": 4, "axis": 2}, ((4, 30), (4,))),
    Case("InnerProduct", {"num_output": 4, "axis": 3}, ((4, 5), (4,))),
    Case("InnerProduct", {"num_output": 2}, ((2, 7), (2,)), VECTOR),
    Case("Pooling", {"pool": "MAX", "kernel_size": 2, "stride": 2}),
    Case("Pooling", {"pool": "MAX", "kernel_size": 3, "stride": 2, "pad": 1}),
    Case("Pooling", {"pool": "MAX", "kernel_size": 2, "stride": 3, "pad": 1}),
    Case("Pooling", {"pool": "MAX", "kernel_h": 2, "kernel_w": 3, "stride_h": 2, "stride_w": 1}),
    Case("Pooling", {"pool": "MAX", "kernel_size": 2, "stride": 2, "round_mode": "FLOOR"}),
    Case("Pooling", {"pool": "MAX", "global_pooling": True}),
    Case("Pooling", {"pool": "AVE", "kernel_size": 2, "stride": 2}),
    Case("Pooling", {"pool": "AVE", "kernel_size": 3, "stride": 2, "pad": 1}),
    Case("Pooling", {"pool": "AVE", "kernel_size": 3, "stride": 1, "pad": 1}),
    Case("Pooling", {"pool": "AVE", "kernel_size": 4, "stride": 3, "pad": 2}),
    Case("Pooling", {"pool": "AVE", "kernel_size": 2, "stride": 3, "pad": 1}),
    Case("Pooling", {"pool": "AVE", "kernel_size": 3, "stride": 2, "round_mode": "FLOOR"}),
    Case("Pooling", {"pool": "AVE", "global_pooling": True}),
    Case("LRN", {"local_size": 3, "alpha": 0.7, "beta": 0.6, "k": 2.0}),
    Case("LRN", {"local_size": 9, "alpha": 0.7}),
    Case("LRN", {"local_size": 3, "alpha": 0.9, "k": 5.0, "norm_region": "WITHIN_CHANNEL"}),
    Case("BatchNorm", {"eps": 0.01}, ((3,), (3,), (1,)), positive=True),
    Case("BatchNorm", {}, ((7,), (7,), (1,)), VECTOR, positive=True),
    Case("Scale", {}, ((3,),)),
    Case("Scale", {"bias_term": True}, ((3,), (3,))),
    Case("Scale", {"axis": 2, "num_axes": -1}, ((6, 5),)),
    Case("Scale", {"axis": 1, "num_axes": 2, "bias_term": True}, ((3, 6), (3, 6))),
    Case("Scale", {"axis": 0}, (), ((3, 6, 5), (3,))),
    Case("Scale", {"axis": 0, "bias_term": True}, ((3, 6, 5),), PAIR),
    Case("Scale", {}, ((7,),), VECTOR),
    Case("Bias", {}, ((3,),)),
    Case("MVN", {}),
    Case("MVN", {"across_channels": True, "eps": 0.1}),
    Case("MVN", {"normalize_variance": False}),
    Case("Normalize", {"across_spatial": False, "channel_shared": False}, ((3,),)),
    Case("Normalize", {"channel_shared": True}, ((1,),)),
    Case("ReLU", {}),
    Case("ReLU", {"negative_slope": 0.1}),
    Case("ELU", {"alpha": 0.5}),
    Case("PReLU", {}, ((3,),)),
    Case("PReLU", {"channel_shared": True}, ((1,),)),
    Case("PReLU", {}, ((7,),), VECTOR),
    Case("Sigmoid", {}),
    Case("TanH", {}),
    Case("AbsVal", {}),
    Case("BNLL", {}),
    Case("Exp", {}),
    Case("Exp", {"base": 2.0, "scale": 0.5, "shift": 0.3}),
    Case("Log", {}, positive=True),
    Case("Log", {"base": 10.0, "scale": 2.0, "shift": 1.0}, positive=True),
    Case("Power", {"scale": 0.5, "shift": -1.0}),
    Case("Power", {"power": 2.0, "scale": 0.5, "shift": -1.0}),
    Case("Power", {"power": 0.5, "shift": 1.0}, positive=True),
    Case("Threshold", {"threshold": 0.2}),
    Case("Swish", {}),
    Case("Swish", {"beta": 1.5}),
    Case("Clip", {"min": -0.3, "max": 0.4}),
    Case("Dropout", {"dropout_ratio": 0.3}),
    Case("Dropout", {"dropout_ratio": 0.3, "scale_train": False}),
    Case("Eltwise", {}, (), TRIPLE),
    Case("Eltwise", {"operation": "SUM", "coeff": [1.0, -2.0]}, (), PAIR),
    Case("Eltwise", {"operation": "PROD"}, (), TRIPLE),
    Case("Eltwise", {"operation": "MAX"}, (), PAIR),
    Case("Concat", {}, (), PAIR),
    Case("Concat", {"axis": 3}, (), PAIR),
    Case("Concat", {"concat_dim": 2}, (), TRIPLE),
    Case("Concat", {}, (), VECTOR * 2),
    Case("Slice", {"slice_point": [1]}, tops=2),
    Case("Slice", {"axis": -1, "slice_point": [1, 3]}, tops=3),
    Case("Slice", {"axis": 2}, tops=2),
    Case("Split", {}, tops=2),
    Case("Crop", {"offset": [1, 2]}, (), ((3, 6, 5), (3, 4, 2))),
    Case("Crop", {"axis": 1}, (), ((3, 6, 5), (2, 4, 2))),
    Case("Crop", {"axis": -1, "offset": 3}, (), ((3, 6, 5), (9, 9, 2))),
    Case("Softmax", {}),
    Case("Softmax", {"axis": -1}),
    Case("Flatten", {}),
    Case("Flatten", {"axis": 2}),
    Case("Flatten", {"axis": 1, "end_axis": 2}),
    Case("Reshape", {"shape": {"dim": [0, -1, 10]}}),
    Case("Reshape", {"shape": {"dim": [0, 0, 0, 5]}}),
    Case("Reshape", {"shape": {"dim": [2, 90]}}),
    Case("Reshape", {"shape": {"dim": [3, 2]}, "axis": 2, "num_axes": 1}),
    Case("Reshape", {"shape": {"dim": [1]}, "axis": -1}),
    Case("Permute", {"order": [0, 2, 3, 1]}),
    Case("Tile", {"tiles": 2}),
    Case("Tile", {"axis": 3, "tiles": 3}),
    Case("Reduction", {"axis": 1}),
    Case("Reduction", {"axis": 2, "operation": "MEAN", "coeff": 0.5}),
    Case("Reduction", {"axis": 1, "operation": "ASUM"}),
    Case("Reduction", {"axis": 3, "operation": "SUMSQ"}),
    Case("ArgMax", {}),
    Case("ArgMax", {"out_max_val": True}),
    Case("ArgMax", {"axis": 1}),
    Case("ArgMax", {"axis": 2, "out_max_val": True}),
)  # fmt: skip
ELSEWHERE = {"Embed"}
"""Types that are tried below."""


def built(case: Case) -> Net:
    """The layer on what comes in, and after a convolution, which has its channels last here."""
    random = np.random.default_rng(5)
    low = 0.2 if case.positive else -1.0
    inputs: dict[str, Array] = {
        f"data{i}": random.uniform(low, 1, (2, *shape)).astype("f4")
        for i, shape in enumerate(case.shapes)
    }
    net = Net(inputs, "one")
    arrays = [net.weights(*shape) for shape in case.arrays]
    arrays = [np.abs(array) + 0.5 if case.positive else array for array in arrays]

    def add(name: str, bottoms: list[str]) -> None:
        tops = " ".join(f"{name}_top{i}" for i in range(case.tops))
        net.add(name, case.kind, " ".join(bottoms), tops, *arrays, **case.options)

    add("given", list(inputs))
    if len(case.shapes[0]) == 3:
        turned = [_unchanged(net, blob) if x.ndim == 4 else blob for blob, x in inputs.items()]
        add("turned", turned)
    return net


def _unchanged(net: Net, blob: str) -> str:
    channels = net.inputs[blob].shape[1]
    same = np.eye(channels, dtype=np.float32)[:, :, None, None]
    options = {"num_output": channels, "kernel_size": 1, "bias_term": False}
    return net.add(f"same_{blob}", "Convolution", blob, "", same, **options)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_layer(case: Case, tmp_path: Path) -> None:
    net = built(case)
    report = load(*net.write(tmp_path), tolerance=2e-6).report
    assert report.first_difference is None, report.first_difference
    assert report.verified, report.warnings


def test_every_type_is_tried() -> None:
    tried = {case.kind for case in CASES} | ELSEWHERE
    left = {kind for kind in supported() if not kind.endswith(("Data", "Loss", "Output"))}
    assert left - tried == {"Accuracy", "Input", "Silence"}


def test_embedding(tmp_path: Path) -> None:
    ids = np.array([[0, 3, 1], [2, 2, 0]], np.float32)
    net = Net({"ids": ids}, "embedding")
    table, bias = net.weights(4, 5), net.weights(5)
    net.add("embed", "Embed", "ids", "", table, bias, num_output=5, input_dim=4)
    report = load(*net.write(tmp_path), tolerance=2e-6).report
    assert report.verified, report.first_difference
