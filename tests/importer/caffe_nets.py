"""Small networks of Caffe, each like one that people know."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .caffe_files import Array, Net


def images(channels: int, height: int, width: int, rows: int = 2) -> dict[str, Array]:
    values = np.random.default_rng(1).uniform(-1, 1, (rows, channels, height, width))
    return {"data": values.astype(np.float32)}


def lenet() -> Net:
    net = Net(images(1, 12, 12), "lenet")
    x = net.conv("conv1", "data", 4, 3)
    x = net.add("pool1", "Pooling", x, pool="MAX", kernel_size=2, stride=2)
    x = net.conv("conv2", x, 5, 2)
    x = net.add("pool2", "Pooling", x, pool="MAX", kernel_size=2, stride=2)
    x = net.dense("ip1", x, 9)
    net.add("relu1", "ReLU", x, x)
    x = net.dense("ip2", x, 3)
    net.add("prob", "Softmax", x)
    return net


def alexnet(inputs: Mapping[str, Array] | None = None) -> Net:
    """Groups, responses normalized, pooling whose windows are rounded up, dropout in place."""
    net = Net(inputs or images(3, 21, 21), "alexnet")
    x = net.conv("conv1", "data", 6, 5, stride=2)
    net.add("relu1", "ReLU", x, x)
    x = net.add("norm1", "LRN", x, local_size=5, alpha=0.5, beta=0.75)
    x = net.add("pool1", "Pooling", x, pool="MAX", kernel_size=3, stride=2)
    x = net.conv("conv2", x, 8, 3, pad=1, group=2)
    net.add("relu2", "ReLU", x, x)
    x = net.add("pool2", "Pooling", x, pool="MAX", kernel_size=3, stride=2)
    x = net.dense("fc6", x, 7)
    net.add("relu6", "ReLU", x, x)
    net.add("drop6", "Dropout", x, x, dropout_ratio=0.5)
    x = net.dense("fc7", x, 5)
    net.add("prob", "Softmax", x)
    return net


def googlenet() -> Net:
    net = Net(images(3, 18, 17), "googlenet")
    x = net.conv("conv1/7x7_s2", "data", 6, 7, stride=2, pad=3)
    net.add("conv1/relu", "ReLU", x, x)
    x = net.add("pool1/3x3_s2", "Pooling", x, pool="MAX", kernel_size=3, stride=2)
    one = net.conv("inception/1x1", x, 3, 1)
    net.add("inception/relu_1x1", "ReLU", one, one)
    three = net.conv("inception/3x3", net.conv("inception/3x3_reduce", x, 2, 1), 4, 3, pad=1)
    pooled = net.add("inception/pool", "Pooling", x, pool="MAX", kernel_size=3, stride=1, pad=1)
    proj = net.conv("inception/pool_proj", pooled, 2, 1)
    x = net.add("inception/output", "Concat", f"{one} {three} {proj}")
    x = net.add("pool5", "Pooling", x, pool="AVE", kernel_size=4, stride=3, pad=1)
    x = net.dense("loss3/classifier", x, 4)
    net.add("prob", "Softmax", x)
    return net


def resnet() -> Net:
    net = Net(images(3, 9, 10), "resnet")

    def normal(name: str, x: str, channels: int) -> str:
        mean, variance = net.weights(channels), np.abs(net.weights(channels)) + 0.5
        net.add(f"bn_{name}", "BatchNorm", x, x, mean * 3, variance * 3, np.array([3], np.float32),
                use_global_stats=True)  # fmt: skip
        return net.add(f"scale_{name}", "Scale", x, x, 1 + net.weights(channels),
                       net.weights(channels), bias_term=True)  # fmt: skip

    x = normal("1", net.conv("conv1", "data", 4, 3, pad=1, bias_term=False), 4)
    net.add("relu1", "ReLU", x, x)
    y = normal("2a", net.conv("res2a", x, 4, 3, pad=1, stride=2, bias_term=False), 4)
    net.add("relu2a", "ReLU", y, y)
    y = normal("2b", net.conv("res2b", y, 6, 3, pad=2, dilation=2, bias_term=False), 6)
    short = normal("2c", net.conv("res2c", x, 6, 1, stride=2, bias_term=False), 6)
    x = net.add("res2", "Eltwise", f"{short} {y}", operation="SUM")
    net.add("relu2", "ReLU", x, x)
    x = net.add("pool5", "Pooling", x, pool="AVE", global_pooling=True)
    x = net.dense("fc", x, 3)
    net.add("prob", "Softmax", x)
    return net


def fcn() -> Net:
    """Bilinear upsampling by groups, and what is too much cut off."""
    net = Net(images(3, 11, 13), "fcn")
    x = net.conv("conv1", "data", 4, 3, pad=6)
    net.add("relu1", "ReLU", x, x)
    pool = net.add("pool1", "Pooling", x, pool="MAX", kernel_size=2, stride=2)
    x = net.conv(
        "score", net.add("pool2", "Pooling", pool, pool="MAX", kernel_size=2, stride=2), 3, 1
    )
    ramp = np.array([0.25, 0.75, 0.75, 0.25], np.float32)
    bilinear = np.broadcast_to(np.outer(ramp, ramp), (3, 1, 4, 4))
    up = net.add("upscore2", "Deconvolution", x, "", bilinear, num_output=3, kernel_size=4,
                 stride=2, group=3, bias_term=False)  # fmt: skip
    side = net.conv("score_pool1", pool, 3, 1)
    cut = net.add("upscore2c", "Crop", f"{up} {side}", axis=2, offset=1)
    x = net.add("fuse", "Eltwise", f"{side} {cut}", operation="SUM", coeff=[1.0, 0.5])
    x = net.add("upscore", "Deconvolution", x, "", net.weights(3, 2, 4, 4), net.weights(2),
                num_output=2, kernel_size=4, stride=2, pad=1)  # fmt: skip
    x = net.add("score_crop", "Crop", f"{x} data", axis=2, offset=[3, 2])
    net.add("prob", "Softmax", x)
    return net


NETS = (lenet, alexnet, googlenet, resnet, fcn)
OF_OLD = (lenet, alexnet, googlenet)
"""Those whose layers Caffe had in its first form."""
