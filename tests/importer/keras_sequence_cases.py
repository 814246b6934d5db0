"""Cases of attention, masks and recurrent layers: see keras_cases.py.

Masks come of the data: a step whose numbers are all small is made zeros, and zeros are masked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Build = Callable[[Any], Callable[[Any], Any]]
SERIES, WIDE, IMAGES = (7, 4), (7, 6), (5, 6, 4, 2)


def masked(nn: Any, x: Any, threshold: float = 0.5) -> Any:
    """Series about a third of whose steps are masked."""
    return nn.Masking()(nn.ReLU(threshold=threshold)(x))


def of_two(name: str, call: Mapping[str, Any] | None = None, **options: Any) -> Build:
    """Attention of two series of which the second is longer, both with masks."""

    def build(nn: Any) -> Callable[[Any], Any]:
        def apply(x: Any) -> Any:
            query, value = masked(nn, x), nn.ZeroPadding1D(1)(x)
            value = masked(nn, nn.Dense(4)(value), 0.1)
            return getattr(nn, name)(**options)([query, value], **(call or {}))

        return apply

    return build


def of_heads(
    name: str = "MultiHeadAttention",
    call: Mapping[str, Any] | None = None,
    masks: bool = True,
    **options: Any,
) -> Build:
    """Attention of several heads from one series to another one."""

    def build(nn: Any) -> Callable[[Any], Any]:
        def apply(x: Any) -> Any:
            width = 6 if name == "MultiHeadAttention" else 4
            other = nn.Dense(width)(nn.ZeroPadding1D(1)(x))
            query, value = (masked(nn, x), masked(nn, other, 0.1)) if masks else (x, x)
            if name == "MultiHeadAttention":
                options.setdefault("num_heads", 2)
                options.setdefault("key_dim", 3)
            return getattr(nn, name)(**options)(query, value, **(call or {}))

        return apply

    return build


CAUSAL, SCORES = {"use_causal_mask": True}, {"return_attention_scores": True}
GROUPED: Mapping[str, Any] = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}

ATTENTION: Mapping[str, tuple[Any, Build]] = {
    "attention": (SERIES, of_two("Attention")),
    "attention scaled": (SERIES, of_two("Attention", use_scale=True)),
    "attention of sums": (SERIES, of_two("Attention", score_mode="concat")),
    "attention of scaled sums": (SERIES, of_two("Attention", use_scale=True, score_mode="concat")),
    "attention causal": (SERIES, of_two("Attention", CAUSAL)),
    "attention with scores": (SERIES, of_two("Attention", SCORES, dropout=0.3)),
    "attention with a key": (
        SERIES,
        lambda nn: lambda x: nn.Attention()([x, nn.Dense(3)(x), nn.Dense(4)(x)]),
    ),
    "additive attention": (SERIES, of_two("AdditiveAttention")),
    "additive attention plain": (SERIES, of_two("AdditiveAttention", CAUSAL, use_scale=False)),
    "heads": (SERIES, of_heads()),
    "heads without masks": (SERIES, of_heads(masks=False)),
    "heads without bias": (SERIES, of_heads(use_bias=False, dropout=0.2)),
    "heads of another size": (SERIES, of_heads(value_dim=5, dropout=0.2, output_shape=8)),
    "heads with a shape": (SERIES, of_heads(output_shape=(2, 3))),
    "heads causal": (SERIES, of_heads(call=CAUSAL)),
    "heads causal without masks": (SERIES, of_heads(call=CAUSAL, masks=False)),
    "heads with scores": (SERIES, of_heads(call=SCORES)),
    "heads with a key": (
        SERIES,
        lambda nn: (
            lambda x: nn.MultiHeadAttention(2, 3)(
                x, masked(nn, x), key=masked(nn, nn.Dense(3)(x), 0.2)
            )
        ),
    ),
    "heads over places": (
        IMAGES,
        lambda nn: lambda x: nn.MultiHeadAttention(2, 3, attention_axes=(2, 3))(x, x),
    ),
    "heads over an axis": (
        IMAGES,
        lambda nn: lambda x: nn.MultiHeadAttention(2, 3, attention_axes=-2)(x, x),
    ),
    "heads with a gate": (SERIES, of_heads(use_gate=True)),
    "heads in a window": (SERIES, of_heads(sliding_window=2)),
    "heads with an explicit mask": (
        SERIES,
        lambda nn: (
            lambda x: nn.MultiHeadAttention(2, 3)(
                masked(nn, x), x, attention_mask=nn.Dot(2)([nn.ReLU()(x), nn.ReLU()(x)])
            )
        ),
    ),
    "heads of groups": (SERIES, of_heads("GroupQueryAttention", **GROUPED)),
    "heads of groups with scores": (SERIES, of_heads("GroupQueryAttention", SCORES, **GROUPED)),
    "heads of groups with a gate": (
        SERIES,
        of_heads("GroupQueryAttention", CAUSAL, use_gate=True, use_bias=False, **GROUPED),
    ),
    "heads of groups in a window": (
        SERIES,
        of_heads("GroupQueryAttention", sliding_window=3, dropout=0.1, masks=False, **GROUPED),
    ),
}


def series(name: str, masks: bool = False, **options: Any) -> Build:
    """A recurrent layer over a series."""

    def build(nn: Any) -> Callable[[Any], Any]:
        return lambda x: getattr(nn, name)(**options)(masked(nn, x) if masks else x)

    return build


def with_states(name: str, count: int, masks: bool = False, **options: Any) -> Build:
    """A recurrent layer that begins with states, and puts out those it ends with."""

    def build(nn: Any) -> Callable[[Any], Any]:
        def apply(x: Any) -> Any:
            ends = nn.GlobalMaxPooling1D()(x)
            states = [nn.Dense(5)(ends) for _ in range(count)]
            layer = getattr(nn, name)(5, return_state=True, **options)
            return layer(masked(nn, x) if masks else x, initial_state=states)

        return apply

    return build


def both(layer: str, masks: bool = False, merge_mode: Any = "concat", **options: Any) -> Build:
    """A layer in both directions."""

    def build(nn: Any) -> Callable[[Any], Any]:
        def apply(x: Any) -> Any:
            inner = getattr(nn, layer)(5, **options)
            return nn.Bidirectional(inner, merge_mode=merge_mode)(masked(nn, x) if masks else x)

        return apply

    return build


def both_with_states(nn: Any) -> Callable[[Any], Any]:
    """States for both directions."""

    def apply(x: Any) -> Any:
        ends = nn.GlobalMaxPooling1D()(x)
        states = [nn.Dense(5)(ends) for _ in range(4)]
        return nn.Bidirectional(nn.LSTM(5, return_state=True))(x, initial_state=states)

    return apply


def stacked(masks: bool = False, **options: Any) -> Build:
    """Cells of several classes over each other."""

    def build(nn: Any) -> Callable[[Any], Any]:
        cells = [nn.LSTMCell(5), nn.GRUCell(4, use_bias=False), nn.LSTMCell(3), nn.SimpleRNNCell(6)]
        return lambda x: nn.RNN(cells, **options)(masked(nn, x) if masks else x)

    return build


SEQUENCES, STATE = {"return_sequences": True}, {"return_state": True}
BACK = {"go_backwards": True}
FILMS, FILM = (3, 6, 2), (4, 5, 6, 2)

RECURRENT: Mapping[str, tuple[Any, Build]] = {
    **{
        f"{name} {number}": (SERIES, series(name, masks, units=5, **options))
        for name in ("SimpleRNN", "LSTM", "GRU")
        for number, (masks, options) in enumerate(
            [
                (False, {}),
                (False, {**SEQUENCES, **BACK, "use_bias": False}),
                (True, {}),
                (True, {**SEQUENCES, **STATE}),
                (True, BACK),
                (True, {**SEQUENCES, **BACK, "unroll": True}),
                (True, {**SEQUENCES, "zero_output_for_mask": True}),
                (True, {"zero_output_for_mask": True}),
                (False, {**STATE, "activation": "relu", "dropout": 0.2}),
            ]
        )
    },
    "gru before": (SERIES, series("GRU", True, units=5, reset_after=False)),
    "gru of hard gates": (SERIES, series("GRU", units=5, recurrent_activation="hard_sigmoid")),
    "lstm over open series": ((None, 4), series("LSTM", True, units=5, **SEQUENCES)),
    "rnn with states": (SERIES, with_states("SimpleRNN", 1, True)),
    "lstm with states": (SERIES, with_states("LSTM", 2, True, **SEQUENCES)),
    "gru with states": (SERIES, with_states("GRU", 1, False, **BACK, **SEQUENCES)),
    "a cell": (SERIES, lambda nn: lambda x: nn.RNN(nn.GRUCell(5), **SEQUENCES)(masked(nn, x))),
    "stacked cells": (SERIES, stacked()),
    "stacked cells with masks": (SERIES, stacked(True, **SEQUENCES, **STATE)),
    "both": (SERIES, both("LSTM")),
    "both sequences": (SERIES, both("GRU", **SEQUENCES)),
    "both masked": (SERIES, both("LSTM", True)),
    "both masked sequences": (SERIES, both("LSTM", True, **SEQUENCES)),
    "both with states": (SERIES, both_with_states),
    "both states": (SERIES, both("LSTM", True, None, **STATE, **SEQUENCES)),
    **{
        f"both {mode}": (SERIES, both("SimpleRNN", True, mode, **SEQUENCES))
        for mode in ("sum", "ave", "mul", None)
    },
    "both given": (
        SERIES,
        lambda nn: (
            lambda x: nn.Bidirectional(
                nn.LSTM(5, use_bias=False), backward_layer=nn.GRU(4, go_backwards=True)
            )(x)
        ),
    ),
    "both cells": (
        SERIES,
        lambda nn: lambda x: nn.Bidirectional(nn.RNN([nn.LSTMCell(3), nn.GRUCell(4)]))(x),
    ),
    "convlstm1d": (FILMS, lambda nn: nn.ConvLSTM1D(3, 3, padding="same", **SEQUENCES)),
    "convlstm2d": (FILM, lambda nn: nn.ConvLSTM2D(3, (2, 3), strides=(1, 2), **STATE)),
    "convlstm2d dilated": (
        FILM,
        lambda nn: nn.ConvLSTM2D(
            3, 2, dilation_rate=2, use_bias=False, recurrent_activation="hard_sigmoid", **BACK
        ),
    ),
    "convlstm3d": ((3, 4, 3, 4, 1), lambda nn: nn.ConvLSTM3D(2, 2, **SEQUENCES, **BACK)),
    "convlstm2d both": (FILM, lambda nn: nn.Bidirectional(nn.ConvLSTM2D(2, 2, **SEQUENCES))),
    "each step dense": (
        SERIES,
        lambda nn: lambda x: nn.TimeDistributed(nn.Dense(3))(masked(nn, x)),
    ),
    "each step an image": (FILM, lambda nn: nn.TimeDistributed(nn.Conv2D(3, 2, activation="relu"))),
    "each step a norm": (FILM, lambda nn: nn.TimeDistributed(nn.BatchNormalization())),
    "each step flat": (FILM, lambda nn: nn.TimeDistributed(nn.Flatten())),
    "each step a series": (FILMS, lambda nn: nn.TimeDistributed(nn.LSTM(3, **SEQUENCES))),
    "each step masked": (
        FILMS,
        lambda nn: lambda x: nn.LSTM(4)(nn.TimeDistributed(nn.LSTM(3))(masked(nn, x, 0.7))),
    ),
    "each step masked sequences": (
        FILMS,
        lambda nn: (
            lambda x: nn.TimeDistributed(nn.LSTM(3))(
                nn.TimeDistributed(nn.LSTM(3, **SEQUENCES))(masked(nn, x, 0.7))
            )
        ),
    ),
    "each step dropped": (SERIES, lambda nn: nn.TimeDistributed(nn.Dropout(0.3))),
}


def merged(kind: str, *thresholds: float) -> Build:
    """Series with masks of their own, joined; then a layer that shows the mask."""

    def build(nn: Any) -> Callable[[Any], Any]:
        def apply(x: Any) -> Any:
            dense = [nn.Dense(4)(x) for _ in thresholds]
            parts = [masked(nn, y, t) if t else y for y, t in zip(dense, thresholds, strict=True)]
            name, _, axis = kind.partition(" ")
            layer = getattr(nn, name)(**({"axis": int(axis)} if axis else {}))
            y = layer(parts)
            return [y, nn.LSTM(3, return_sequences=True)(y)]

        return apply

    return build


def passed(layer: Callable[[Any], Any]) -> Build:
    """A layer that may hand a mask on, then one that shows it."""

    def build(nn: Any) -> Callable[[Any], Any]:
        return lambda x: nn.LSTM(3, return_sequences=True)(layer(nn)(masked(nn, x)))

    return build


HANDING_ON: Mapping[str, Callable[[Any], Any]] = {
    "dense": lambda nn: nn.Dense(5),
    "activation": lambda nn: nn.Activation("tanh"),
    "dropout": lambda nn: nn.Dropout(0.3),
    "spatial dropout": lambda nn: nn.SpatialDropout1D(0.3),
    "batch norm": lambda nn: nn.BatchNormalization(),
    "layer norm": lambda nn: nn.LayerNormalization(),
    "unit norm": lambda nn: nn.UnitNormalization(),
    "identity": lambda nn: nn.Identity(),
    "leaky relu": lambda nn: nn.LeakyReLU(0.1),
    "prelu": lambda nn: nn.PReLU("random_normal"),
    "convolution": lambda nn: nn.Conv1D(5, 1),
    "padding": lambda nn: nn.ZeroPadding1D(1),
    "cropping": lambda nn: nn.Cropping1D(1),
    "upsampling": lambda nn: nn.UpSampling1D(2),
    "pooling": lambda nn: nn.MaxPooling1D(2),
    "reshape": lambda nn: nn.Reshape((14, 2)),
    "permute": lambda nn: nn.Permute((2, 1)),
    "rescaling": lambda nn: nn.Rescaling(0.5),
    "einsum": lambda nn: nn.EinsumDense("abc,cd->abd", (None, 5)),
    "each step": lambda nn: nn.TimeDistributed(nn.Dense(3)),
    "both directions": lambda nn: nn.Bidirectional(nn.GRU(2, return_sequences=True)),
}

MASKS: Mapping[str, tuple[Any, Build]] = {
    **{
        f"{kind} of {len(thresholds)} masks {number}": (SERIES, merged(kind, *thresholds))
        for kind in (
            "Add",
            "Average",
            "Maximum",
            "Minimum",
            "Multiply",
            "Concatenate -1",
            "Concatenate 1",
        )
        for number, thresholds in enumerate([(0.5, 0.8), (0.5, 0.8, 0.0), (0.4, 0.5, 0.6)])
    },
    **{f"mask through {name}": (SERIES, passed(layer)) for name, layer in HANDING_ON.items()},
    "mean of steps": (SERIES, lambda nn: lambda x: nn.GlobalAveragePooling1D()(masked(nn, x))),
    "largest of steps": (SERIES, lambda nn: lambda x: nn.GlobalMaxPooling1D()(masked(nn, x))),
    "masked value": (SERIES, lambda nn: lambda x: nn.LSTM(3)(nn.Masking(0.5)(nn.ReLU(0.5)(x)))),
    "mask given": (
        SERIES,
        lambda nn: (
            lambda x: nn.LSTM(3)(x, mask=nn.Masking().compute_mask(nn.ReLU(threshold=0.5)(x)))
        ),
    ),
}

CASES: Mapping[str, tuple[Any, Build]] = {**ATTENTION, **RECURRENT, **MASKS}
