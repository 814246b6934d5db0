"""Models wired in every way, for real Keras to write in both of its formats, and to run.

    python -m tests.importer.model_cases FOLDER

writes NAME.h5, NAME.keras and NAME.reference.h5 for each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Build = Callable[[Any], Any]
"""From Keras to a model."""

ROWS, OPEN, VOCABULARY = 2, 7, 9


def block(keras: Any, name: str = "block") -> Any:
    """A model to be put inside others: two dense layers and a normalization between them."""
    nn, x = keras.layers, keras.Input((5,))
    hidden = nn.Dense(6, activation="tanh", name=f"{name}_in")(x)
    hidden = nn.BatchNormalization(name=f"{name}_norm")(hidden)
    return keras.Model(x, nn.Dense(4, name=f"{name}_out")(hidden), name=name)


def nested(keras: Any) -> Any:
    x = keras.Input((5,), name="x")
    return keras.Model(x, keras.layers.Dense(3)(block(keras)(x)))


def frozen(keras: Any) -> Any:
    x, inner = keras.Input((5,), name="x"), block(keras)
    inner.trainable = False
    return keras.Model(x, keras.layers.Dense(3)(inner(x)))


def partly_frozen(keras: Any) -> Any:
    x, inner = keras.Input((5,), name="x"), block(keras)
    inner.layers[1].trainable = False
    return keras.Model(x, keras.layers.Dense(3)(inner(x)))


def model_called_twice(keras: Any) -> Any:
    x, z, inner = keras.Input((5,), name="x"), keras.Input((5,), name="z"), block(keras)
    return keras.Model([x, z], keras.layers.Add()([inner(x), inner(z)]))


def four_deep(keras: Any) -> Any:
    inner = block(keras)
    for level in range(3):
        x = keras.Input((5,))
        joined = keras.layers.Concatenate()([inner(x), x])
        inner = keras.Model(x, keras.layers.Dense(4)(joined), name=f"level_{level}")
    x = keras.Input((5,), name="x")
    return keras.Model(x, inner(x))


def sequential_in_functional(keras: Any) -> Any:
    nn, x = keras.layers, keras.Input((5,), name="x")
    inner = keras.Sequential([keras.Input((5,)), nn.Dense(4, activation="relu"), nn.Dense(3)])
    return keras.Model(x, inner(x))


def functional_in_sequential(keras: Any) -> Any:
    return keras.Sequential([block(keras), keras.layers.Dense(2)])


def sequential_in_sequential(keras: Any) -> Any:
    nn = keras.layers
    inner = keras.Sequential([keras.Input((5,)), nn.Dense(4)])
    return keras.Sequential([inner, nn.Dense(3), nn.Softmax()])


def layer_called_thrice(keras: Any) -> Any:
    x, dense = keras.Input((5,), name="x"), keras.layers.Dense(5, activation="relu")
    once = dense(x)
    twice = dense(once)
    return keras.Model(x, [twice, dense(twice), once])


def inputs_and_outputs_in_an_order(keras: Any) -> Any:
    nn, x, z = keras.layers, keras.Input((5,), name="x"), keras.Input((3,), name="a")
    joined = nn.Concatenate()([x, z])
    return keras.Model([z, x], [nn.Dense(2, name="z")(joined), nn.Dense(3, name="b")(joined)])


def cut_out(keras: Any) -> Any:
    nn, x = keras.layers, keras.Input((5,), name="x")
    whole = keras.Model(x, nn.Dense(2)(nn.Dense(4, name="cut")(nn.Dense(6)(x))))
    return keras.Model(whole.input, whole.get_layer("cut").output)


def called_before(keras: Any) -> Any:
    """The layer's calls in this model are its third and fourth."""
    dense, other, x = keras.layers.Dense(5), keras.Input((5,)), keras.Input((5,), name="x")
    dense(dense(other))
    return keras.Model(x, dense(dense(x)))


def dictionary_of_inputs(keras: Any) -> Any:
    nn = keras.layers
    x = {"b": keras.Input((5,), name="b"), "a": keras.Input((3,), name="a")}
    return keras.Model(x, nn.Concatenate()([nn.Dense(2)(x["a"]), nn.Dense(3)(x["b"])]))


def states_handed_over(keras: Any) -> Any:
    nn, x, z = keras.layers, keras.Input((None, 4), name="x"), keras.Input((None, 4), name="z")
    _, *states = nn.LSTM(3, return_sequences=True, return_state=True)(x)
    return keras.Model([x, z], nn.LSTM(3, return_sequences=True)(z, initial_state=states))


def open_sizes(keras: Any) -> Any:
    nn, x = keras.layers, keras.Input((None, None, 3), name="x")
    return keras.Model(x, nn.GlobalAveragePooling2D()(nn.Conv2D(4, 3, 2, padding="same")(x)))


def an_output_that_is_an_input(keras: Any) -> Any:
    x = keras.Input((5,), name="x")
    return keras.Model(x, [x, keras.layers.Dense(2)(x)])


def inner_model_of_two_outputs(keras: Any) -> Any:
    nn, inside, x = keras.layers, keras.Input((5,)), keras.Input((5,), name="x")
    inner = keras.Model(inside, [nn.Dense(3)(inside), nn.Dense(3)(inside)])
    return keras.Model(x, nn.Multiply()(inner(x)))


def model_over_time(keras: Any) -> Any:
    nn, x, frame = keras.layers, keras.Input((6, 8, 8, 2), name="x"), keras.Input((8, 8, 2))
    inner = keras.Model(frame, nn.Flatten()(nn.MaxPooling2D()(nn.Conv2D(3, 3)(frame))))
    return keras.Model(x, nn.LSTM(3)(nn.TimeDistributed(inner)(x)))


def masks(keras: Any) -> Any:
    nn, ids = keras.layers, keras.Input((7,), dtype="int32", name="ids")
    embedded = nn.Embedding(VOCABULARY, 4, mask_zero=True)(ids)
    sequence = nn.LSTM(4, return_sequences=True)(embedded)
    return keras.Model(ids, nn.Dense(2)(nn.Bidirectional(nn.LSTM(3))(sequence)))


def operators(keras: Any) -> Any:
    nn, x = keras.layers, keras.Input((5,), name="x")
    return keras.Model(x, (nn.Dense(4)(x) * 2 + 1) / 3 - nn.Dense(4)(x))


MODELS: Mapping[str, Build] = {
    build.__name__: build
    for build in (
        nested, frozen, partly_frozen, model_called_twice, four_deep, sequential_in_functional,
        functional_in_sequential, sequential_in_sequential, layer_called_thrice,
        inputs_and_outputs_in_an_order, cut_out, called_before, dictionary_of_inputs,
        states_handed_over, open_sizes, an_output_that_is_an_input, inner_model_of_two_outputs,
        model_over_time, masks, operators,
    )
}  # fmt: skip


def write_all(folder: Path) -> None:
    """Has real Keras write every model with random weights, and what it computes."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    import numpy as np

    rng = np.random.default_rng(0)
    for name, build in MODELS.items():
        keras.backend.clear_session()
        model: Any = build(keras)
        if not model.built:
            model.build((None, 5))
        for weight in model.weights:
            low = 0.3 if "variance" in weight.path else -1.0
            weight.assign(rng.uniform(low, 1, weight.shape))
        inputs = {tensor.name: _drawn(rng, tensor) for tensor in model.inputs}
        given = inputs if name == "dictionary_of_inputs" else list(inputs.values())
        found = model(given)
        outputs = found if isinstance(found, list | tuple) else [found]
        _write(folder / f"{name}.reference.h5", inputs, [np.asarray(value) for value in outputs])
        for suffix in ("h5", "keras"):
            model.save(folder / f"{name}.{suffix}")


def _drawn(rng: Any, tensor: Any) -> Any:
    shape = [ROWS, *(OPEN if size is None else size for size in tensor.shape[1:])]
    if "int" in str(tensor.dtype):
        return rng.integers(0, VOCABULARY, shape).astype("int32")
    return rng.uniform(-1, 1, shape).astype("float32")


def _write(path: Path, inputs: Mapping[str, Any], outputs: list[Any]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in inputs.items():
            file[f"inputs/{name}"] = array
        for number, array in enumerate(outputs):
            file[f"outputs/{number}"] = array


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
