"""What Keras 0 and 1 did otherwise on Theano, and how to know that a file comes from there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ....runtime.errors import Unsupported

Options = dict[str, Any]

CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "SeparableConv2D")


@dataclass(frozen=True, slots=True)
class Writer:
    """What wrote a model.

    ``version`` is that of Keras, empty where the file does not say it, as before 1.0.4.
    ``dim_ordering``, ``th`` or ``tf``, is that of the layers that do not say theirs.
    """

    theano: bool = False
    version: str = ""
    dim_ordering: str = "tf"

    def is_before(self, *numbers: int) -> bool:
        """Whether it was an older version than this."""
        return [int(part) for part in self.version.split(".") if part.isdigit()] < list(numbers)


def title(kind: str, options: Mapping[str, Any]) -> str:
    """A layer as an error names it."""
    return f"Keras {kind} {options.get('name')!r}"


def written_on(variables: Iterable[str]) -> str | None:
    """The backend that named these variables: those of TensorFlow end in ``:0``.

    Keras 1 stores the names its backend gives; Keras 0 stores none, and then nobody knows.
    """
    named = [name for name in variables if not name.rpartition("/")[2].startswith("param_")]
    if not named:
        return None
    return "tensorflow" if any(name.endswith(":0") for name in named) else "theano"


def explicit_padding(name: str, options: Options, writer: Writer) -> Options:
    """``padding`` as (before, after) for each axis, where what Theano pads has no name in Keras 2.

    ``same`` there is ``(k // 2, (k - 1) // 2)`` for whatever stride: it pads both sides by half
    the kernel, and crops what is too much for ``ceil(n / stride)``. Volumes came to that in 1.1.1.
    Pooling pads by all of an even window but one, and of an odd one but two.
    """
    mode = options.get("padding")
    if name == "Conv3D" and mode == "same" and writer.is_before(1, 1, 1):
        return {}
    if name in CONVOLUTIONS:
        return _explicit(mode, _spans(options), _numbers(options, "strides"))
    if name == "Conv2DTranspose" and mode == "same":
        size = _spans(options)
        if any(k % 2 == 0 for k in size):
            raise Unsupported(
                f"{title(name, options)}: Theano cuts border_mode='same' of an even kernel short, "
                "to the size of the input; that is not supported"
            )
        return {"padding": [[k // 2, k // 2] for k in size]}
    if name == "ConvLSTM2D":
        size = _spans(options)
        even = any(k % 2 == 0 for k in size)
        inner = {"recurrent_padding": [[k // 2, (k - 1) // 2] for k in size]} if even else {}
        return inner | _explicit(mode, size, _numbers(options, "strides"))
    if name.startswith(("AveragePooling", "MaxPooling")) and mode == "same":
        size = _numbers(options, "pool_size")
        if 1 in size and (name.endswith("3D") or (name.endswith("2D") and writer.is_before(1, 2))):
            raise Unsupported(
                f"{title(name, options)}: with border_mode='same' Theano pads a window of one by "
                "-1, and nothing says what comes of that"
            )
        before = [k - 2 if k > 2 and k % 2 else k - 1 for k in size]
        return {"padding": [[n, k - 1 - n] for n, k in zip(before, size, strict=True)]}
    return {}


def _explicit(mode: Any, size: list[int], strides: list[int]) -> Options:
    match mode:
        case "half":
            return {"padding": [[k // 2, k // 2] for k in size]}
        case "full":
            return {"padding": [[k - 1, k - 1] for k in size]}
        case "same" if any(k % 2 == 0 for k in size) or any(s > 1 for s in strides):
            return {"padding": [[k // 2, (k - 1) // 2] for k in size]}
        case _:
            return {}


def _spans(options: Options) -> list[int]:
    """What the kernel spans along each axis, the holes that dilation makes included."""
    size, dilation = _numbers(options, "kernel_size"), _numbers(options, "dilation_rate")
    dilation = dilation * len(size) if len(dilation) == 1 else dilation
    return [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]


def _numbers(options: Options, option: str) -> list[int]:
    value = options.get(option, 1)
    return [value] if isinstance(value, int) else list(value)
