"""Convolution, depthwise convolution, transposed convolution. Channels are the last axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from ..frame import Array, Frame
from ..kernels import convolution, depthwise
from ..kernels.bias import add_bias, bias_gradient
from ..kernels.windows import Windows
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Param, Size, Tensor, scaled, window
from .sliding import Padding, Pairs, Sliding

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Convolution", "DepthwiseConvolution", "TransposedConvolution"]


@operation("convolution")
class Convolution(Operation):
    """y[t] = sum over k of x[t * stride - before + k * dilation] @ kernel[k] + bias.

    Empty strides and dilation are ones. With groups, each group of channels gives its own group of
    filters. Parameters: kernel (*kernel_size, channels / groups, filters), bias (filters,).
    """

    filters: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: Padding = "valid"
    dilation: tuple[int, ...] = ()
    groups: int = 1
    use_bias: bool = True

    @property
    def _sliding(self) -> Sliding:
        return Sliding.of(self.kernel_size, self.strides, self.padding, self.dilation)

    def params(self, x: Tensor) -> Mapping[str, Param]:
        channels = window(x.shape[-1], 0, self.groups)
        kernel = Param((*self.kernel_size, channels, self.filters))
        return _with_bias(kernel, self.filters, self.use_bias)

    def infer(self, x: Tensor) -> Tensor:
        sizes = self._sliding.output(x)
        _check_groups(self.groups, x.shape[-1], self.filters)
        return Tensor((x.shape[0], *sizes, self.filters))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        channels = at.x[0].shape[-1]
        if self.groups > 1 and self.groups == channels:
            each = (*self.kernel_size, channels, self.filters // channels)
            return _bind_depthwise(self._sliding, at, each)
        x, y, kernel = at.x[0], at.y[0], at.p["kernel"]
        w = self._sliding.windows(x.shape[1:-1], y.shape[1:-1])
        return _passes(
            at,
            convolution.forward(at, w, x, kernel, y),
            lambda dkernel: convolution.kernel_gradient(at, w, x, at.dy[0], dkernel),
            lambda dx: convolution.input_gradient(at, w, at.dy[0], kernel, dx),
        )

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        rank = len(self.kernel_size)
        kernel = tape.op("Transpose", [p["kernel"]], perm=(rank + 1, rank, *range(rank)))
        return tape.op(
            "Conv",
            [tape.first(x), kernel, p.get("bias")],
            group=self.groups,
            **self._sliding.attributes(tape.type()),
        )

    @classmethod
    def examples(cls) -> Sequence[Example]:
        sequence, image = Tensor(("N", 7, 4)), Tensor(("N", 6, 5, 4))
        open_image, volume = Tensor(("N", "H", "W", 2)), Tensor(("N", 3, 3, 2, 2))
        return [
            (cls(3, (3,)), [sequence]),
            (cls(3, (3,), padding="causal", dilation=(2,), use_bias=False), [sequence]),
            (cls(2, (2,), (2,), "same"), [sequence]),
            (cls(3, (1,)), [sequence]),
            (cls(1, (1,), (2,)), [Tensor(("N", 2, 1))]),
            (cls(3, (1, 1)), [image]),
            (cls(3, (1, 1), (2, 2)), [image]),
            (cls(3, (3, 3), padding="same"), [image]),
            (cls(3, (2, 3), (2, 1), "same"), [image]),
            (cls(3, (3, 2), (1, 2), ((2, 0), (1, 3))), [image]),
            (cls(3, (2, 2), dilation=(2, 3)), [image]),
            (cls(6, (2, 2), padding="same", groups=2), [image]),
            (cls(8, (3, 3), (2, 2), "same", groups=4), [image]),
            (cls(33, (3, 3), padding="same"), [Tensor(("N", 3, 4, 33))]),
            (cls(2, (3, 3), padding="same"), [open_image]),
            (cls(2, (3, 3), (2, 2), "same"), [open_image]),
            (cls(2, (3, 3), (2, 2)), [open_image]),
            (cls(2, (2, 1, 2), (1, 2, 1), "same"), [volume]),
            (cls(2, (2, 2, 1), dilation=(2, 1, 1), groups=2), [Tensor(("N", 3, 3, 2, 4))]),
        ]


@operation("depthwise_convolution")
class DepthwiseConvolution(Operation):
    """A convolution of each channel with its own kernels: output channel c * multiplier + m.

    Parameters: kernel (*kernel_size, channels, multiplier), bias (channels * multiplier,).
    """

    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: Padding = "valid"
    dilation: tuple[int, ...] = ()
    multiplier: int = 1
    use_bias: bool = True

    @property
    def _sliding(self) -> Sliding:
        return Sliding.of(self.kernel_size, self.strides, self.padding, self.dilation)

    def params(self, x: Tensor) -> Mapping[str, Param]:
        kernel = Param((*self.kernel_size, x.shape[-1], self.multiplier))
        return _with_bias(kernel, scaled(x.shape[-1], self.multiplier), self.use_bias)

    def infer(self, x: Tensor) -> Tensor:
        return Tensor((x.shape[0], *self._sliding.output(x), scaled(x.shape[-1], self.multiplier)))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        return _bind_depthwise(self._sliding, at, at.p["kernel"].shape)

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        channels, rank = tape.type().shape[-1], len(self.kernel_size)
        flat = tape.constant([*self.kernel_size, 1, -1])
        kernel = tape.op("Reshape", [p["kernel"], flat])
        kernel = tape.op("Transpose", [kernel], perm=(rank + 1, rank, *range(rank)))
        return tape.op(
            "Conv",
            [tape.first(x), kernel, p.get("bias")],
            group=channels,
            **self._sliding.attributes(tape.type()),
        )

    @classmethod
    def examples(cls) -> Sequence[Example]:
        sequence, image = Tensor(("N", 6, 3)), Tensor(("N", 6, 5, 3))
        return [
            (cls((3,)), [sequence]),
            (cls((2,), padding="causal", dilation=(2,), multiplier=2), [sequence]),
            (cls((3, 3), padding="same"), [image]),
            (cls((3, 2), (2, 2), "same", use_bias=False), [image]),
            (cls((2, 3), (1, 2), ((0, 1), (3, 2)), multiplier=2), [image]),
            (cls((3, 3), dilation=(2, 1)), [image]),
            (cls((3, 3), (2, 2), "same"), [Tensor(("N", "H", "W", 2))]),
        ]


@operation("transposed_convolution")
class TransposedConvolution(Operation):
    """What the gradient of a convolution's input is: every element of x adds a window to y.

    y[i] = sum of x[t] @ kernel[k].T over the t and k with t * stride + k * dilation - before = i,
    plus the bias. The windows span (size - 1) * stride + extent, where extent = dilation * (kernel
    - 1) + 1. What remains of that, as Keras has it:

        "valid"    all; where the stride is above the extent, size * stride
        "same"     size * stride; cropped by halves before and after, the odd one after
        explicit   what is not in (before, after), for each axis

    With an output padding it is that much more after; "same" is then (size - 1) * stride + extent
    % 2 + output padding. With groups, each group of channels gives its own group of filters.
    Parameters: kernel (*kernel_size, filters / groups, channels), bias (filters,).
    """

    filters: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: Literal["valid", "same"] | Pairs = "valid"
    output_padding: tuple[int, ...] | None = None
    dilation: tuple[int, ...] = ()
    use_bias: bool = True
    groups: int = 1

    @property
    def _sliding(self) -> Sliding:
        return Sliding.of(self.kernel_size, self.strides, self.padding, self.dilation)

    def params(self, x: Tensor) -> Mapping[str, Param]:
        kernel = Param((*self.kernel_size, self.filters // self.groups, x.shape[-1]))
        return _with_bias(kernel, self.filters, self.use_bias)

    def infer(self, x: Tensor) -> Tensor:
        s = self._sliding
        s.check(x)
        _check_groups(self.groups, x.shape[-1], self.filters)
        self._check_output_padding()
        sizes = [scaled(n, s.stride[i], self._crop(i)[1]) for i, n in enumerate(x.shape[1:-1])]
        if small := [n for n in sizes if isinstance(n, int) and n < 1]:
            raise ValueError(f"padding {self.padding} crops an axis to {small[0]}")
        return Tensor((x.shape[0], *sizes, self.filters))

    def _check_output_padding(self) -> None:
        more, stride = self.output_padding, self._sliding.stride
        if more is not None and (
            len(more) != len(stride)
            or not all(0 <= m < n for m, n in zip(more, stride, strict=True))
        ):
            raise ValueError(f"output padding {more} is not below the stride {stride} on each axis")

    def _crop(self, axis: int) -> tuple[int, int]:
        """What is cropped before an axis, and what its size is beyond size * stride."""
        extent, stride = self._sliding.extent[axis], self._sliding.stride[axis]
        whole, more = extent - stride, self.output_padding[axis] if self.output_padding else None
        if isinstance(self.padding, tuple):
            before, after = self.padding[axis]
            return before, whole - before - after + (more or 0)
        if self.padding == "valid":
            return 0, max(whole, 0) if more is None else whole + more
        beyond = 0 if more is None else extent % 2 - stride + more
        return max(whole - beyond, 0) // 2, beyond

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        x, y, kernel, s = at.x[0], at.y[0], at.p["kernel"], self._sliding
        before = tuple(self._crop(axis)[0] for axis in range(s.rank))
        w = Windows(y.shape[1:-1], x.shape[1:-1], s.kernel, s.stride, s.dilation, before)
        return _passes(
            at,
            convolution.input_gradient(at, w, x, kernel, y),
            lambda dkernel: convolution.kernel_gradient(at, w, at.dy[0], x, dkernel),
            lambda dx: convolution.forward(at, w, at.dy[0], kernel, dx),
        )

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        s, rank = self._sliding, len(self.kernel_size)
        kernel = tape.op("Transpose", [p["kernel"]], perm=(rank + 1, rank, *range(rank)))
        crops = [self._crop(axis) for axis in range(rank)]
        spans = [extent - stride for extent, stride in zip(s.extent, s.stride, strict=True)]
        # Less than nothing cropped after an axis is what ONNX calls output padding.
        after = [n - before - beyond for n, (before, beyond) in zip(spans, crops, strict=True)]
        return tape.op(
            "ConvTranspose",
            [tape.first(x), kernel, p.get("bias")],
            kernel_shape=s.kernel,
            strides=s.stride,
            dilations=s.dilation,
            pads=[*(before for before, _ in crops), *(max(n, 0) for n in after)],
            output_padding=[max(-n, 0) for n in after],
            group=self.groups,
        )

    @classmethod
    def examples(cls) -> Sequence[Example]:
        sequence, image = Tensor(("N", 4, 3)), Tensor(("N", 3, 4, 2))
        return [
            (cls(2, (3,), (2,), "same"), [sequence]),
            (cls(2, (2,), (3,)), [sequence]),
            (cls(3, (3, 3)), [image]),
            (cls(3, (3, 3), padding="same"), [image]),
            (cls(3, (4, 5), (2, 2), "same", use_bias=False), [image]),
            (cls(3, (2, 1), (3, 2), "same"), [image]),
            (cls(3, (3, 2), (2, 3), "valid", (1, 0)), [image]),
            (cls(3, (3, 4), (2, 2), "same", (1, 1)), [image]),
            (cls(3, (3, 3), (2, 1), ((1, 0), (0, 2)), (1, 0)), [image]),
            (cls(3, (2, 3), padding="same", dilation=(2, 1)), [image]),
            (cls(2, (3, 3), (2, 2), "same"), [Tensor(("N", "H", "W", 2))]),
            (cls(2, (2, 3, 1), (1, 2, 2), "same", (0, 1, 1)), [Tensor(("N", 2, 2, 2, 2))]),
            (cls(2, (2, 1, 2), dilation=(1, 1, 2)), [Tensor(("N", 2, 2, 2, 2))]),
            (cls(4, (3, 3), (2, 2), ((1, 1), (1, 1)), groups=2), [image]),
            (cls(3, (4, 4), (2, 2), use_bias=False, groups=3), [Tensor(("N", 2, 3, 3))]),
            (cls(2, (2,), (2,), dilation=(2,), groups=2), [Tensor(("N", 3, 4))]),
        ]


def _check_groups(groups: int, channels: Size, filters: int) -> None:
    for name, n in (("channels", channels), ("filters", filters)):
        if groups != 1 and (not isinstance(n, int) or groups < 1 or n % groups):
            raise ValueError(f"{n} {name} cannot be parted into {groups} groups")


def _with_bias(kernel: Param, filters: Size, use_bias: bool) -> Mapping[str, Param]:
    return {"kernel": kernel} | ({"bias": Param((filters,))} if use_bias else {})


def _passes(
    at: Frame,
    forward: Step,
    kernel_gradient: Callable[[Array], Step],
    input_gradient: Callable[[Array], Step],
) -> tuple[Steps, Steps]:
    """Both passes of a layer: what is given, and its bias."""
    bias = at.p.get("bias")
    steps = (forward, None if bias is None else add_bias(at, at.y[0], bias))
    if not at.grads:
        return steps, None
    return steps, (
        kernel_gradient(at.dp["kernel"]) if "kernel" in at.dp else None,
        bias_gradient(at, at.dy[0], at.dp["bias"]) if "bias" in at.dp else None,
        None if at.dx[0] is None else input_gradient(at.dx[0]),
    )


def _bind_depthwise(sliding: Sliding, at: Frame, shape: tuple[int, ...]) -> tuple[Steps, Steps]:
    """With a kernel seen as (*kernel, channels, multiplier)."""
    x, y, kernel = at.x[0], at.y[0], at.p["kernel"].reshape(shape)
    w = sliding.windows(x.shape[1:-1], y.shape[1:-1])
    return _passes(
        at,
        depthwise.forward(at, w, x, kernel, y),
        lambda dkernel: depthwise.kernel_gradient(at, w, x, at.dy[0], dkernel.reshape(shape)),
        lambda dx: depthwise.input_gradient(at, w, at.dy[0], kernel, dx),
    )
