"""Converters: layers of several inputs."""

from __future__ import annotations

from ...runtime import ops
from .layer import Layer, keras

ARITHMETIC = {
    "Add": ops.Add,
    "Average": ops.Average,
    "Maximum": ops.Maximum,
    "Minimum": ops.Minimum,
    "Multiply": ops.Multiply,
    "Subtract": ops.Subtract,
}


@keras(*ARITHMETIC)
def arithmetic(layer: Layer, *x: str) -> str:
    return layer.add(ARITHMETIC[layer.kind](), *x)


@keras("Concatenate")
def concatenate(layer: Layer, x: str, *more: str) -> str:
    op = ops.Concatenate(int(layer.get("axis", -1)))
    return layer.add(op, x, *more) if more else x
