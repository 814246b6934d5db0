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
GROUPED = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}

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
        lambda nn: lambda x: nn.MultiHeadAttention(2, 3)(
            x, masked(nn, x), key=masked(nn, nn.Dense(3)(x), 0.2)
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
        lambda nn: lambda x: nn.MultiHeadAttention(2, 3)(
            masked(nn, x), x, attention_mask=nn.Dot(2)([nn.ReLU()(x), nn.ReLU()(x)])
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

CASES: Mapping[str, tuple[Any, Build]] = {**ATTENTION}
