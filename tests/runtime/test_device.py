"""Where arrays can live."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cortex.runtime.device import array_module, to_numpy
from cortex.runtime.errors import MissingExtra, UsageError


def test_the_cpu_is_numpy() -> None:
    assert array_module() is np
    array = np.ones(3)
    assert to_numpy(array) is array


@pytest.mark.parametrize("device", ["", "cpu:0", "gpu", "cuda:x", "cuda:-1"])
def test_no_such_device(device: str) -> None:
    with pytest.raises(UsageError, match=f"device '{device}': use cpu, cuda or cuda:INDEX"):
        array_module(device)


def test_cuda_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(MissingExtra, match=r"device 'cuda:1' needs an extra: .*\[gpu\]"):
        array_module("cuda:1")
