"""Files of Caffe that are damaged, hostile, or hold what is not read: one line says so."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.importer import load
from cortex.importer.sniff import sniff
from cortex.runtime.errors import CortexError

from .caffe_files import Net, blob, varint, wire
from .caffe_nets import lenet

INPUT = 'name: "net" input: "data" input_dim: [1, 3, 8, 8]\n'
ONES = np.ones((2, 3, 1, 1), np.float32)
CONV = 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {\n%s } }'


def other(kind: str, rest: str = "", bottoms: str = 'bottom: "data"') -> str:
    return f'layer {{ name: "x" type: "{kind}" {bottoms} top: "y" {rest} }}'


def pool(options: str) -> str:
    return other("Pooling", f"pooling_param {{ {options} }}").replace('"x"', '"p"')


TEXTS: tuple[tuple[str, str], ...] = (
    (CONV % "num_output: 2 kernel_size: 1 bias_term: false relu: true",
     "Caffe Convolution 'c': it sets relu='true', which would be lost"),
    (CONV % "num_output: 2 kernel_size: 1",
     "Caffe Convolution 'c': it needs an array more than the 1 that the weights have"),
    (CONV % "bias_term: false axis: 2", "works on axis 2 of 4"),
    (CONV % "bias_term: false pad: 1 pad: 2 pad: 3", r"pad is \[1, 2, 3\], for 2 spatial axes"),
    (CONV % "bias_term: false pad: -1", r"pad is \[-1\]"),
    (CONV % "bias_term: false pad_h: 1 pad: 1", "pad_h and pad_w beside pad"),
    (CONV % "bias_term: maybe", "line 3: bias_term is 'maybe'"),
    (CONV % "num_output: 2.5", "line 3: num_output is '2.5'"),
    (CONV % "num_output: 2 num_output: 2", "line 3: 'num_output' is said twice"),
    (pool("pool: STOCHASTIC kernel_size: 2"),
     "Caffe Pooling 'p': pool 'STOCHASTIC' is not supported"),
    (pool("pool: AVG kernel_size: 2"), "line 2: pool is 'AVG'"),
    (pool("kernel_size: 2 pad: 2"), r"windows of \[2, 2\], .* do not fit an image of \(8, 8\)"),
    (pool("kernel_size: 20"), "do not fit an image"),
    (pool("kernel_size: 1 stride: 3 stride_h: 2"), "stride_h and stride_w beside stride"),
    (pool("kernel_size: 2 stride: 0"), r"\[0, 0\] apart .* do not fit"),
    (pool("kernel_h: 1 kernel_w: 1 stride: 4"), "do not fit"),
    (pool(""), "kernel_size is"),
    (pool("kernel_size: 2 ceil_mode: false"), "it sets ceil_mode='false', which would be lost"),
    (other("DetectionOutput") + other("PriorBox") + other("PriorBox"),
     r"layers of Caffe that are not supported: DetectionOutput, PriorBox \(2\)"),
    (other("Concat", "concat_param { axis: 0 }"), "axis 0 is the batch, which stays whole"),
    (other("Softmax", "softmax_param { axis: 7 }"), "axis is 7, of 4 axes"),
    (other("ReLU", bottoms='bottom: "nothing"'), "nothing before it writes its bottom 'nothing'"),
    (other("ReLU", bottoms=""), "its options make no sense for 0 bottoms"),
    (other("ReLU", 'top: "z"'), "Caffe ReLU 'x': 2 tops, expected 1"),
    (other("Slice", "slice_param { slice_point: 9 }"), r"slice_point \[9\] cuts 3 for 1 tops"),
    (other("Reshape", "reshape_param { shape { dim: 2 dim: -1 } }"), "from one row to another"),
    (other("Reshape", "reshape_param { shape { dim: 0 dim: 5 } }"), r"take the shape \(5,\)"),
    (other("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }"), "its shape is"),
    (other("Permute", "permute_param { order: 1 order: 0 }"), r"the order \[1, 0\] of 4 axes"),
    (other("Flatten", "flatten_param { axis: 3 end_axis: 1 }"), "flatten the axes 3 to 1"),
    (other("Power", "power_param { power: nan }"), "power is nan, expected a number"),
    (other("Log", "log_param { base: 1 }"), "base 1.0 is none of a logarithm"),
    (other("ArgMax", "argmax_param { top_k: 5 }"), "top_k 5 is not supported"),
    (other("LRN", "lrn_param { local_size: 4 }"), "local_size is 4, and must be odd"),
    (other("BatchNorm", "batch_norm_param { use_global_stats: false }"),
     "use_global_stats is false"),
    (other("Tile", "tile_param { tiles: 1000000000 }"), "too large|elements"),
    (other("Eltwise", "eltwise_param { coeff: 1 }", 'bottom: "data" bottom: "data"'),
     r"coeff \[1.0\] for SUM of 2"),
    (other("ReLU", "my_param { slope: 3 }"), "it sets my_param={'slope': '3'}, which would"),
    (other("ReLU", "blobs { data: 1 }"), "stands in the architecture"),
    ("layer { name: \"x\" bottom: \"data\" }", "the layer 'x' has no type"),
    ("layer { name: \"x\" ", "line 0: 'the end of the file' stands where a field should|line"),
    ("layer { name \"x\" }", "follows 'name'"),
    ("layer { name: @ }", "'@' makes no sense"),
    ("layer " + "{ include " * 40, "messages lie more than 16 deep"),
    ("layers { layer { name: \"conv\" type: \"conv\" } }", "Caffe's form of 2013"),
    ("weird: 3\n" + other("ReLU"), "the network sets 'weird', whose meaning is not known"),
    ('layer { name: "x" type: "ReLU" include { phase: TRAIN } }', "no layer that takes part"),
    ('input: "more" ' + other("ReLU"), "names 2 inputs and gives 1 shapes"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "message"), TEXTS, ids=range(len(TEXTS)))
def test_architecture(text: str, message: str, tmp_path: Path) -> None:
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_text(INPUT + text)
    weights.write_bytes(
        wire(1, "net") + wire(100, wire(1, "c") + wire(2, "X") + wire(7, blob(ONES)))
    )
    with pytest.raises(CortexError, match=message) as caught:
        _ = load(path, weights).report
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value) or "elements" in str(caught.value)


def test_needs_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + other("ReLU"))
    with pytest.raises(CortexError, match="architecture of Caffe, which needs --weights"):
        load(path)
    with pytest.raises(CortexError, match="no caffemodel: it is an architecture of Caffe"):
        load(path, path)


def conv(*fields: bytes) -> bytes:
    """A caffemodel of one convolution whose only array has these fields."""
    options = wire(106, wire(1, 2) + wire(2, False) + wire(4, 1))
    data = wire(100, wire(1, "data") + wire(2, "Input") + wire(4, "data")
                + wire(143, wire(1, b"".join(wire(1, n) for n in (1, 3, 8, 8)))))  # fmt: skip
    layer = wire(1, "c") + wire(2, "Convolution") + wire(3, "data") + wire(4, "c")
    return wire(1, "net") + data + wire(100, layer + wire(7, b"".join(fields)) + options)


def shape(*sizes: int) -> bytes:
    return wire(7, wire(1, b"".join(varint(n) for n in sizes)))


SIX = wire(5, np.ones(6, "<f4").tobytes())
HUGE = 1 << 62
MODELS: dict[str, tuple[bytes, str]] = {
    "claims more": (conv(SIX, shape(2, 3, 1000, 1000)), "holds 6 numbers, its shape"),
    "claims a petabyte": (conv(SIX, shape(HUGE, HUGE)), "holds 6 numbers, its shape"),
    "negative": (conv(SIX, shape(-2, -3, 1, 1)), "has the shape"),
    "legacy lies": (conv(SIX, wire(1, 1 << 40), wire(2, 3)), "holds 6 numbers, its shape"),
    "many axes": (conv(SIX, shape(*[1] * 99)), "has the shape"),
    "no numbers": (conv(shape(2, 3, 1, 1)), "holds no arrays"),
    "twice": (conv(SIX, wire(8, bytes(48)), shape(2, 3, 1, 1)), "holds two arrays"),
    "halves": (conv(wire(12, bytes(12)), shape(2, 3, 1, 1)), "stores its numbers in field 12"),
    "odd bytes": (conv(wire(5, bytes(23)), shape(2, 3, 1, 1)), "holds 5 numbers"),
    "other rank": (conv(SIX, shape(6)), r"its array 1 has the shape \(6,\), expected 4 axes"),
    "length beyond": (conv(SIX)[:-20] + varint(7 << 3 | 2) + varint(1 << 50), "damaged or cut"),
    "length of 64 bits": (wire(1, "net") + varint(802) + varint((1 << 64) - 1), "damaged or cut"),
    "endless number": (wire(1, "net") + b"\xa2\x06" + b"\xff" * 20, "more than 64 bits"),
    "group": (wire(1, "net") + wire(100, b"\x0b\x0c"), "wire type 3"),
    "field 0": (wire(1, "net") + wire(100, b"\x00\x00"), "field number 0"),
    "many fields": (wire(1, "net") + wire(100, b"\x1a\x00" * 220_000),
                    "more than 200,000 fields"),
    "many numbers": (wire(1, "net") + wire(4, 1)
                     + wire(100, wire(106, wire(3, b"\x01" * 220_000))),
                     "more than 200,000 fields"),
    "many layers": (wire(1, "net") + wire(100, b"\x0a\x01a\x12\x01b") * 12_000, "12,000 layers"),
    "unknown option": (conv(SIX, shape(2, 3, 1, 1))
                       + wire(100, wire(1, "r") + wire(2, "ReLU") + wire(3, "c") + wire(4, "c")
                              + wire(987, b"x")), "it sets field 987"),
    "large input": (wire(1, "net") + wire(3, "data") + wire(8, wire(1, b"\x01" + varint(HUGE)))
                    + wire(100, wire(1, "r") + wire(2, "ReLU") + wire(3, "data") + wire(4, "c")),
                    "the input 'data' has the shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_weights(name: str, tmp_path: Path) -> None:
    """At once, in one line."""
    raw, message = MODELS[name]
    path = tmp_path / "net.caffemodel"
    path.write_bytes(raw)
    assert sniff(path) == "caffemodel"
    start = time.process_time()
    with pytest.raises(CortexError, match=message) as caught:
        load(path)
    assert time.process_time() - start < 2  # a second where nothing else runs
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_memory(tmp_path: Path) -> None:
    """What a small file claims to hold takes no memory."""
    path = tmp_path / "net.caffemodel"
    for raw, _ in (one for one in MODELS.values() if len(one[0]) < 10_000):
        path.write_bytes(raw)
        tracemalloc.start()
        with pytest.raises(CortexError):
            load(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 << 20


def _mutated(raw: bytes, seed: int) -> bytes:
    """The bytes with some of them changed, left out, doubled, or as other numbers."""
    chance = random.Random(seed)
    found = bytearray(raw)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(found))
        match chance.randrange(4):
            case 0:
                found[place] = chance.randrange(256)
            case 1:
                del found[place : place + chance.randint(1, 30)]
            case 2:
                found[place:place] = found[place : place + chance.randint(1, 30)]
            case _:
                found[place : place + 4] = struct.pack("<I", chance.getrandbits(32))
        if not found:
            return b"\n"
    return bytes(found)


SAMPLE = lenet()
TEXT, WEIGHTS = SAMPLE.prototxt(), SAMPLE.caffemodel()
INPUT_LAYER = wire(100, wire(1, "data") + wire(2, "Input") + wire(4, "data")
                   + wire(143, wire(1, b"".join(wire(1, n) for n in (2, 1, 12, 12)))))  # fmt: skip
ALONE = SAMPLE.caffemodel(before=INPUT_LAYER)
OFTEN = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _read(path: Path, weights: Path | None) -> None:
    """Reads a network, or says in one line why not; anything else ends the test."""
    said = ""
    try:
        assert load(path, weights).network.graph.outputs
    except CortexError as error:
        said = str(error)
    assert "\n" not in said


@OFTEN
@given(st.integers(0, 1 << 40))
def test_damaged_architecture(tmp_path: Path, seed: int) -> None:
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_bytes(_mutated(TEXT.encode(), seed))
    weights.write_bytes(WEIGHTS)
    _read(path, weights)


@OFTEN
@given(st.integers(0, 1 << 40))
def test_damaged_weights(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(_mutated(ALONE, seed))
    _read(path, None)


def test_alone_is_whole(tmp_path: Path) -> None:
    """What is damaged above is a network otherwise."""
    path = tmp_path / "net.caffemodel"
    path.write_bytes(ALONE)
    found = load(path).network.run(dict(SAMPLE.inputs))["prob"]
    np.testing.assert_allclose(found, SAMPLE.blobs["prob"], atol=1e-6)


def test_names(tmp_path: Path) -> None:
    """Whatever a network is called, or if it has no name, it is recognised."""
    for name in ("", "VGG_ILSVRC_16_layers", "net (fine-tuned), v2/b", "x" * 100):
        net = Net({"data": np.ones((1, 3), np.float32)}, name)
        net.dense("ip", "data", 2)
        for v1 in (False, True):
            path = tmp_path / "net.caffemodel"
            path.write_bytes(net.caffemodel(v1)[0 if name else 2 :])
            assert sniff(path) == "caffemodel", (name, v1)
            path.write_text(net.prototxt(v1))
            assert sniff(path) == "prototxt", (name, v1)
