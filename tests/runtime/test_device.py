"""Where arrays can live."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

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
    with pytest.raises(UsageError, match=f"device '{device}': use auto, cpu, cuda or"):
        array_module(device)


def test_cuda_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(MissingExtra, match=r"device 'cuda:1' needs an extra: .*\[gpu\]"):
        array_module("cuda:1")
    assert array_module("auto") is np


def cupy_with(devices: int) -> Any:
    """What stands for CuPy where there are so many devices."""

    class CUDARuntimeError(Exception):
        pass

    class Device:
        def __init__(self, index: int) -> None:
            self._index = index

        def use(self) -> None:
            if self._index >= devices:
                raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    runtime = SimpleNamespace(CUDARuntimeError=CUDARuntimeError)
    return SimpleNamespace(cuda=SimpleNamespace(Device=Device, runtime=runtime))


def test_the_first_device_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for devices in (0, 1):
        cupy = cupy_with(devices)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        assert array_module("auto") is (cupy if devices else np)
        with pytest.raises(UsageError, match="device 'cuda:1': cudaErrorInvalidDevice"):
            array_module("cuda:1")
