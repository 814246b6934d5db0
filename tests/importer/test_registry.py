"""Tables that fill themselves."""

from __future__ import annotations

import pytest

from cortex.importer.registry import Registry


def test_a_call_registers_what_is_decorated_for_each_kind() -> None:
    table = Registry[str, str]("Caffe")
    assert table("ReLU", "PReLU")("rectifier") == "rectifier"
    assert table == {"ReLU": "rectifier", "PReLU": "rectifier"}


def test_a_kind_is_registered_once() -> None:
    table = Registry[str, str]("Caffe")
    table("ReLU")("rectifier")
    with pytest.raises(ValueError, match="Caffe ReLU is registered twice"):
        table("ReLU")("another")
