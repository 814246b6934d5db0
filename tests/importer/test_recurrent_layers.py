"""Recurrent layers that add up, so that every number can be seen; the slow cases ask real Keras.

A SimpleRNN of one unit whose kernels and bias are 1 and that has no activation gives the sum of all
steps so far, and of one for each. The series is 1, 0, 3, 4, and 3 is masked where there is a mask.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.importer import load
from cortex.runtime.errors import Unsupported
from cortex.runtime.network import Network

from .keras_files import entry, floats, functional, given, link, write

SERIES = floats([1, 0, 3, 4]).reshape(1, 4, 1)
ONES = {
    "kernel:0": np.ones((1, 1), np.float32),
    "recurrent_kernel:0": np.ones((1, 1), np.float32),
    "bias:0": np.ones(1, np.float32),
}
SUM: dict[str, Any] = {"units": 1, "activation": "linear"}
TF, TODAY = "2.11.0", "3.15.1"


def network(
    folder: Path,
    layer: Any,
    arrays: dict[str, Any] | None = None,
    version: str = TF,
    backend: str = "tensorflow",
) -> Network:
    """A layer of x, of x masked, and of a state s."""
    model = functional(
        given("x", 4, 1),
        given("s", 1),
        entry("Masking", "masked", link("x"), mask_value=3.0),
        layer,
        inputs=("x", "s"),
        outputs=["layer"],
    )
    stored = {"layer": ONES if arrays is None else arrays}
    return load(write(folder / "model.h5", model, stored, version, backend)).network


def outputs(net: Network, state: float = 10, **more: Any) -> list[Any]:
    """What comes of the series, as lists without axes of one."""
    found = net.run({"x": SERIES, "s": floats([[state]]), **more})
    return [np.squeeze(array).tolist() for array in found.values()]


SEQUENCES = {"return_sequences": True}
ADDED: dict[str, tuple[list[Any], dict[str, Any], Any]] = {
    "last": (link("x"), {}, 12),
    "all": (link("x"), SEQUENCES, [2, 3, 7, 12]),
    "backwards": (link("x"), {"go_backwards": True}, 12),
    "all backwards": (link("x"), {**SEQUENCES, "go_backwards": True}, [5, 9, 10, 12]),
    "masked": (link("masked"), {}, 8),
    "all masked": (link("masked"), SEQUENCES, [2, 3, 3, 8]),
    "all masked backwards": (link("masked"), {**SEQUENCES, "go_backwards": True}, [5, 5, 6, 8]),
    "zeros where masked": (
        link("masked"),
        {**SEQUENCES, "zero_output_for_mask": True},
        [2, 3, 0, 8],
    ),
    "from a state": (link("x", "s"), SEQUENCES, [12, 13, 17, 22]),
    "unrolled": (link("x"), {**SEQUENCES, "unroll": True, "implementation": 2}, [2, 3, 7, 12]),
}


@pytest.mark.parametrize("case", ADDED)
def test_adds_up(case: str, tmp_path: Path) -> None:
    inbound, options, expected = ADDED[case]
    net = network(tmp_path, entry("SimpleRNN", "layer", inbound, **SUM, **options))
    assert outputs(net) == [expected]


def first_masked(version: str, backend: str, folder: Path, **options: Any) -> Any:
    layer = entry("SimpleRNN", "layer", link("masked", "s"), **SUM, **SEQUENCES, **options)
    net = network(folder, layer, version=version, backend=backend)
    x = floats([3, 1, 3, 0]).reshape(1, 4, 1)
    return np.squeeze(net.run({"x": x, "s": floats([[10]])})["layer"]).tolist()


BEFORE: dict[tuple[str, str], list[float]] = {
    (TF, "tensorflow"): [0, 12, 12, 13],
    ("2.2.4", "tensorflow"): [10, 12, 12, 13],
    ("2.2.4", "theano"): [0, 12, 12, 13],
    (TODAY, "tensorflow"): [11, 13, 14, 15],
    (TODAY, "jax"): [11, 13, 14, 15],
}
"""Before its first step that counts a layer repeats an output that is not there; and the layers of
Keras 3 that are given states do not heed the mask of their input."""


@pytest.mark.parametrize(("version", "backend"), BEFORE)
def test_before_the_first_step_that_counts(version: str, backend: str, tmp_path: Path) -> None:
    assert first_masked(version, backend, tmp_path) == BEFORE[version, backend]


def test_states_are_kept_from_call_to_call(tmp_path: Path) -> None:
    layer = entry("SimpleRNN", "layer", link("x"), **SUM, stateful=True, return_state=True)
    net = network(tmp_path, layer)
    zero = np.zeros((1, 1), np.float32)
    first = net.run({"x": SERIES, "s": zero, "layer/state_0": zero})
    assert first["layer"] == first["layer/state_0/next"] == 12
    then = net.run({"x": SERIES, "s": zero, "layer/state_0": first["layer/state_0/next"]})
    assert then["layer"] == 24


def test_a_layer_called_twice_goes_on_from_its_state(tmp_path: Path) -> None:
    calls = [link("x"), [["layer", 0, 0, {}]]]
    layer = entry("SimpleRNN", "layer", *calls, **SUM, **SEQUENCES, stateful=True)
    net = network(tmp_path, layer)
    zero = np.zeros((1, 1), np.float32)
    found = net.run({"x": SERIES, "s": zero, "layer/state_0": zero}, ["layer:1"])["layer:1"]
    # From 12 on, the sums of 2, 3, 7, 12 and of one for each.
    assert np.squeeze(found).tolist() == [15, 19, 27, 40]


def inner(**options: Any) -> dict[str, Any]:
    """A layer to wrap."""
    return {"class_name": "SimpleRNN", "config": {"name": "rnn", **SUM, **options}}


TWO = {
    f"{way}_rnn/{name}": array for way in ("forward", "backward") for name, array in ONES.items()
}
MERGED: dict[Any, list[Any]] = {
    "concat": [[[2, 12], [3, 10], [7, 9], [12, 5]]],
    "sum": [[14, 13, 16, 17]],
    "ave": [[7, 6.5, 8, 8.5]],
    "mul": [[24, 30, 63, 60]],
}


@pytest.mark.parametrize("mode", MERGED)
def test_both_directions(mode: Any, tmp_path: Path) -> None:
    wrapped = inner(**SEQUENCES)
    layer = entry("Bidirectional", "layer", link("x"), layer=wrapped, merge_mode=mode)
    assert outputs(network(tmp_path, layer, TWO)) == MERGED[mode]


@pytest.mark.parametrize(("version", "at_mask"), [("2.2.4", 3 * 5), (TF, 0), (TODAY, 0)])
def test_both_directions_where_masked(version: str, at_mask: float, tmp_path: Path) -> None:
    layer = entry(
        "Bidirectional", "layer", link("masked"), layer=inner(**SEQUENCES), merge_mode="mul"
    )
    net = network(tmp_path, layer, TWO, version)
    assert outputs(net) == [[2 * 8, 3 * 6, at_mask, 8 * 5]]


def test_each_step(tmp_path: Path) -> None:
    wrapped = {"class_name": "Flatten", "config": {"name": "flat"}}
    layer = entry("TimeDistributed", "layer", link("masked"), layer=wrapped)
    assert outputs(network(tmp_path, layer, {})) == [[1, 0, 0, 4]]


def stacked(**options: Any) -> dict[str, Any]:
    """Two cells, the second of which adds up what the first does."""
    cells = [
        {"class_name": "SimpleRNNCell", "config": {"name": f"cell_{i}", **SUM}} for i in range(2)
    ]
    return {"class_name": "StackedRNNCells", "config": {"name": "cells", "cells": cells, **options}}


STACKED: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "first cell first": (TF, {}, [28, 12, 28]),
    "last cell first": (TF, {"reverse_state_order": True}, [28, 28, 12]),
    "as it was": ("2.2.4", {}, [28, 28, 12]),
}


@pytest.mark.parametrize("case", STACKED)
def test_cells_over_cells(case: str, tmp_path: Path) -> None:
    version, options, expected = STACKED[case]
    layer = entry("RNN", "layer", link("x"), cell=stacked(**options), return_state=True)
    arrays: dict[str, Any] = {
        f"cell_{i}/{name}": array for i in range(2) for name, array in ONES.items()
    }
    model = functional(given("x", 4, 1), layer, inputs=("x",), outputs=["layer"])
    model["config"]["output_layers"] = [["layer", 0, number] for number in range(3)]
    path = write(tmp_path / "model.h5", model, {"layer": arrays}, version)
    found = load(path).network.run({"x": SERIES})
    assert [float(np.squeeze(value)) for value in found.values()] == expected


@pytest.mark.parametrize(("kind", "gates", "bias"), [("LSTM", 4, 1), ("GRU", 3, 2)])
def test_arrays_of_cudnn(kind: str, gates: int, bias: int, tmp_path: Path) -> None:
    """It stores each gate's kernels transposed, and two biases one after the other."""
    rng = np.random.default_rng(0)
    inputs, units = 3, 2
    kernels = [rng.normal(size=(n, units * gates)).astype(np.float32) for n in (inputs, units)]
    biases = rng.normal(size=(2, units * gates)).astype(np.float32)
    plain = [*kernels, biases.sum(0) if bias == 1 else biases]
    turned = [
        np.hstack([part.T.reshape(part.shape) for part in np.hsplit(kernels[0], gates)]),
        np.hstack([part.T for part in np.hsplit(kernels[1], gates)]),
        biases.reshape(-1),
    ]
    found: list[Any] = []
    for kind_stored, arrays in ((kind, plain), (f"CuDNN{kind}", turned), (kind, turned)):
        options: dict[str, Any] = {}
        if kind_stored == kind:
            options = {"recurrent_activation": "sigmoid"}
            options |= {"reset_after": True} if kind == "GRU" else {}
        names = ("kernel:0", "recurrent_kernel:0", "bias:0")
        layer = entry(kind_stored, "layer", link("x"), units=units, **options)
        stored: dict[str, Any] = {"layer": dict(zip(names, arrays, strict=True))}
        path = write(tmp_path / "model.h5", functional(given("x", 4, inputs), layer), stored)
        x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 4, inputs)
        found.append(load(path).network.run({"x": x})["layer"])
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
    np.testing.assert_allclose(found[2], found[0], atol=1e-6)


def test_even_kernels_of_theano_pad_a_state_otherwise(tmp_path: Path) -> None:
    """Of two taps, those of Theano are on the place before and on the place itself."""
    ones = np.zeros((2, 1, 4), np.float32)
    ones[:, :, 2] = 1  # all gates but the candidate's are open by their bias
    arrays = {
        "kernel:0": ones[1:] * floats([[[0]], [[1]]]),
        "recurrent_kernel:0": ones,
        "bias:0": floats([1, 0, 0, 1]),
    }
    layer = entry(
        "ConvLSTM1D", "layer", link("x"), filters=1, kernel_size=[2], activation="linear",
        recurrent_activation="linear", padding=[[1, 0]], recurrent_padding=[[1, 0]],
    )  # fmt: skip
    x = floats([[[1, 2, 3], [0, 0, 0]]])[..., None]
    path = write(tmp_path / "model.h5", functional(given("x", 2, 3, 1), layer), {"layer": arrays})
    found = load(path).network.run({"x": x})["layer"]
    assert np.squeeze(found).tolist() == [1, 3, 5]


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "time first": ("SimpleRNN", {"time_major": True}, "time_major=True, which would be lost"),
    "activation": ("SimpleRNN", {"activation": "sparsemax"}, "activation 'sparsemax'"),
    "constants": ("SimpleRNN", {"num_constants": 1}, "constants 'of a call'"),
    "merging": ("Bidirectional", {"layer": inner(), "merge_mode": "max"}, "merge_mode 'max'"),
    "a cell of one's own": (
        "RNN",
        {"cell": {"class_name": "MyCell", "config": {"name": "cell", "units": 1}}},
        "cell 'MyCell'",
    ),
    "states of steps": (
        "TimeDistributed",
        {"layer": inner(stateful=True)},
        "a layer inside 'that is stateful'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str, tmp_path: Path) -> None:
    kind, options, message = REFUSED[case]
    with pytest.raises(Unsupported, match=message):
        network(tmp_path, entry(kind, "layer", link("x"), **{**SUM, **options}))
