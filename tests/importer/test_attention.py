"""Attention against its formulas, in NumPy and without a loop; the slow cases ask real Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cortex.importer import load
from cortex.importer.keras.converters.multi_head_attention import attention_equations
from cortex.runtime.errors import Unsupported

from .keras_files import entry, functional, given, link, write

Array = NDArray[Any]
STEPS, WIDTH, HEADS, KEY = 5, 4, 2, 3


def series(seed: int, width: int = WIDTH) -> Array:
    """Two series; the second ends in steps of zeros, which are masked."""
    x = np.random.default_rng(seed).uniform(0.1, 1, (2, STEPS, width)).astype(np.float32)
    x[1, 3:] = 0
    return x


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def softmax(scores: Array, kept: Array) -> Array:
    """Of the last axis, without what is not kept."""
    powers = np.exp(np.where(kept, scores, -np.inf))
    return powers / powers.sum(-1, keepdims=True)


def computed(folder: Path, layer: Any, arrays: dict[str, Array], version: str = "2.11.0") -> Any:
    """The outputs of a layer of two masked series, x and y."""
    model = functional(
        *(given(name, STEPS, WIDTH) for name in "xy"),
        *(entry("Masking", f"masked_{name}", link(name)) for name in "xy"),
        layer,
        inputs=("x", "y"),
        outputs=["layer"],
    )
    network = load(write(folder / "model.h5", model, {"layer": arrays}, version)).network
    return network.run({"x": series(0), "y": series(1)})["layer"]


KEPT = (series(0) != 0).any(-1)
ATTENTION: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "products": ({}, {}),
    "scaled products": ({"use_scale": True}, {}),
    "causal": ({}, {"use_causal_mask": True}),
    "causal as it was": ({"causal": True}, {}),
    "sums": ({"score_mode": "concat"}, {}),
    "scaled sums": ({"score_mode": "concat", "use_scale": True}, {}),
    "additive": ({"kind": "AdditiveAttention"}, {}),
    "additive without scale": ({"kind": "AdditiveAttention", "use_scale": False}, {}),
}


@pytest.mark.parametrize("case", ATTENTION)
def test_attention(case: str, tmp_path: Path) -> None:
    options, call = ATTENTION[case]
    options = {"kind": "Attention", **options}
    kind = options.pop("kind")
    inbound = [["masked_x", 0, 0, call], ["masked_y", 0, 0, {}]]
    arrays: dict[str, Array] = {}
    if options.get("use_scale", kind != "Attention"):
        arrays["scale:0"] = np.float32(0.7) * (
            np.ones(()) if kind == "Attention" else random(WIDTH)
        )
    if options.get("score_mode") == "concat":
        arrays["concat_score_weight:0"] = np.full((), 1.3, np.float32)
    y = computed(tmp_path, entry(kind, "layer", inbound, **options), arrays)
    np.testing.assert_allclose(y, attended(case, arrays), atol=1e-6)


def attended(case: str, arrays: dict[str, Array]) -> Array:
    """The formula of Keras."""
    query, value = series(0), series(1)
    scale = arrays.get("scale:0", np.float32(1))
    sums = query[:, :, None] + value[:, None]
    if "additive" in case:
        scores = (scale * np.tanh(sums)).sum(-1)
    elif "sums" in case:
        scores = arrays["concat_score_weight:0"] * np.tanh(scale * sums).sum(-1)
    else:
        scores = scale * (query @ value.transpose(0, 2, 1))
    kept = KEPT[:, None] & (np.tri(STEPS, dtype=bool) if "causal" in case else True)
    return softmax(scores, np.broadcast_to(kept, scores.shape)) @ value * KEPT[:, :, None]


def head_arrays(gate: bool = False) -> dict[str, Array]:
    """Arrays as they are stored, in order."""
    names = ["query", "key", *["gate"] * gate, "value"]
    arrays = {f"{name}/kernel:0": random(WIDTH, HEADS, KEY) + i for i, name in enumerate(names)}
    arrays |= {f"{name}/bias:0": random(HEADS, KEY) + i for i, name in enumerate(names)}
    return arrays | {
        "attention_output/kernel:0": random(HEADS, KEY, WIDTH),
        "attention_output/bias:0": random(WIDTH),
    }


TODAY = "3.15.1"
CALLS: dict[str, tuple[str, dict[str, Any], dict[str, Any], Array | bool]] = {
    "masks of both": ("2.11.0", {}, {}, KEPT[:, None, None] & KEPT[:, None, :, None]),
    "masks of neither": ("2.9.0", {}, {}, True),
    "causal": (
        "2.11.0",
        {},
        {"use_causal_mask": True},
        np.tri(STEPS, dtype=bool) & KEPT[:, None, None] & KEPT[:, None, :, None],
    ),
    "in a window": (
        TODAY,
        {"sliding_window": 2},
        {},
        (abs(np.subtract.outer(range(STEPS), range(STEPS))) < 2)
        & KEPT[:, None, None]
        & KEPT[:, None, :, None],
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_heads(case: str, tmp_path: Path) -> None:
    version, options, call, kept = CALLS[case]
    inbound = [["masked_x", 0, 0, {"value": ["masked_y", 0, 0], **call}]]
    layer = entry("MultiHeadAttention", "layer", inbound, num_heads=HEADS, key_dim=KEY, **options)
    arrays = head_arrays()
    y = computed(tmp_path, layer, arrays, version)
    q, k, v = (
        np.einsum("btc,chd->bhtd", x, arrays[f"{name}/kernel:0"])
        + arrays[f"{name}/bias:0"][:, None]
        for name, x in (("query", series(0)), ("key", series(1)), ("value", series(1)))
    )
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(KEY)
    rows = np.broadcast_to(kept, scores.shape)
    # A row that attends to nothing gives the mean of all values.
    rows = rows | ~rows.any(-1, keepdims=True)
    scores = np.where(np.broadcast_to(kept, scores.shape).any(-1, keepdims=True), scores, 0)
    each = softmax(scores, rows) @ v
    expected = np.einsum("bhtd,hdc->btc", each, arrays["attention_output/kernel:0"])
    np.testing.assert_allclose(y, expected + arrays["attention_output/bias:0"], atol=1e-5)


@pytest.mark.parametrize("version", ["3.7.0", TODAY])
def test_today_it_takes_masks_off(version: str, tmp_path: Path) -> None:
    inbound = [["masked_x", 0, 0, {"value": ["masked_x", 0, 0]}]]
    model = functional(
        given("x", STEPS, WIDTH),
        entry("Masking", "masked_x", link("x")),
        entry("MultiHeadAttention", "layer", inbound, num_heads=HEADS, key_dim=KEY),
        entry("GlobalAveragePooling1D", "mean", link("masked_x")),
        outputs=["layer", "mean"],
    )
    path = write(tmp_path / "model.h5", model, {"layer": head_arrays()}, version)
    found = load(path).network.run({"x": series(0)})["mean"]
    count = 5 if version == TODAY else 3
    np.testing.assert_allclose(found[1], series(0)[1].sum(0) / count, rtol=1e-5)


def test_groups_share_heads(tmp_path: Path) -> None:
    """With as many heads of keys as of queries, it is attention of several heads."""
    inbound = [["masked_x", 0, 0, {"value": ["masked_y", 0, 0]}]]
    arrays = head_arrays(gate=True)
    grouped = {"num_query_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": KEY}
    plain = {"num_heads": HEADS, "key_dim": KEY}
    one, other = (
        computed(tmp_path, entry(kind, "layer", inbound, use_gate=True, **sizes), arrays, TODAY)
        for kind, sizes in (("GroupedQueryAttention", grouped), ("MultiHeadAttention", plain))
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


EQUATIONS: dict[tuple[int, tuple[int, ...]], tuple[str, str]] = {
    (4, (1,)): ("aecd,abcd->acbe", "acbe,aecd->abcd"),
    (5, (2,)): ("abfde,abcde->abdcf", "abdcf,abfde->abcde"),
    (5, (1, 2)): ("afgde,abcde->adbcfg", "adbcfg,afgde->abcde"),
}


@pytest.mark.parametrize(("rank", "axes"), EQUATIONS)
def test_equations(rank: int, axes: tuple[int, ...]) -> None:
    assert attention_equations(rank, axes) == EQUATIONS[rank, axes]


REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "mode": ("Attention", {"score_mode": "cosine"}, {}, "score_mode 'cosine'"),
    "training": ("MultiHeadAttention", {}, {"training": True}, "training True"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str, tmp_path: Path) -> None:
    kind, options, call, message = REFUSED[case]
    if kind == "Attention":
        inbound = [["masked_x", 0, 0, call], ["masked_y", 0, 0, {}]]
    else:
        inbound = [["masked_x", 0, 0, {"value": ["masked_y", 0, 0], **call}]]
    with pytest.raises(Unsupported, match=message):
        computed(tmp_path, entry(kind, "layer", inbound, num_heads=1, key_dim=1, **options), {})
