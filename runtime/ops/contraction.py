"""Sums of products over axes that letters name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..equation import Equation
from ..frame import Array, Frame
from ..kernels.contraction import contraction
from ..kernels.steps import in_turn
from ..op import Example, Operation, Step, Steps, operation
from ..tensor import Param, Size, Tensor

if TYPE_CHECKING:
    from ..tape import Tape, Value

__all__ = ["Einsum", "EinsumDense"]


@operation("einsum")
class Einsum(Operation):
    """Einstein's summation of one or two inputs: "abc,acd->abd" is a product of matrices.

    Letters the result lacks are summed over; "..." stands for the axes that are not named, as NumPy
    has it. Every term begins with the batch's letter.
    """

    equation: str

    def infer(self, *x: Tensor) -> Tensor:
        if not 1 <= len(x) <= 2:
            raise ValueError(f"needs one or two inputs, not {len(x)}")
        equation = Equation.of(self.equation, [tensor.rank for tensor in x])
        if len({term[:1] for term in (*equation.operands, equation.result)}) > 1:
            raise ValueError(f"equation {equation}: a term does not begin with the batch's letter")
        sizes = equation.sizes([tensor.shape for tensor in x])
        return Tensor(tuple(sizes[letter] for letter in equation.result))

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        equation = Equation.of(self.equation, [array.ndim for array in at.x])
        forward = contraction(at, equation, at.x, at.y[0])
        return forward, gradients(at, equation, at.x, at.dx) if at.grads else None

    def onnx(self, tape: Tape, p: Mapping[str, Value], *x: Value) -> Value:
        equation = Equation.of(self.equation, [value.rank for value in x])
        sizes = equation.sizes([tape.type(i).shape for i in range(len(x))])
        return emitted(tape, equation, sizes, [tape.last(value) for value in x])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        vector, rows, columns = Tensor(("N", 4)), Tensor(("N", 3, 4)), Tensor(("N", 4, 2))
        query, key = Tensor(("N", "T", 2, 4)), Tensor(("N", 3, 2, 4))
        cube = Tensor(("N", 2, 3, 4))
        return [
            (cls("abc,acd->abd"), [rows, columns]),
            (cls("aib,ajb->aij"), [rows, Tensor(("N", "T", 4))]),
            (cls("aecd,abcd->acbe"), [key, query]),
            (cls("acbe,aecd->abcd"), [Tensor(("N", 2, "T", 3)), key]),
            (cls("...ij,...jk->...ik"), [cube, Tensor(("N", 2, 4, 3))]),
            (cls("a...b,abc->a...c"), [cube, columns]),
            *((cls(text), [vector, vector]) for text in ("ab,ab->a", "ab,ac->acb", "ab,ab->ab")),
            (cls("abc,ac->ab"), [rows, vector]),
            (cls("abcd,abcd->a"), [cube, cube]),
            (cls("abcd,aecd->aeb"), [cube, cube]),
            (cls("abcd,adeb->aecd"), [cube, Tensor(("N", 4, 3, 2))]),
            (cls("abcd,aed->aecb"), [cube, rows]),
            (cls("abcd,ae->ad"), [cube, Tensor(("N", "T"))]),
            (cls("aqvrh,akvh->avrqk"), [Tensor(("N", "T", 2, 3, 4)), key]),
            (cls("abcd->adb"), [cube]),
            (cls("a...->a"), [cube]),
        ]


@operation("einsum_dense")
class EinsumDense(Operation):
    """Einstein's summation of x and a kernel, plus a bias that broadcasts to the result.

    "...x,xy->...y" is a dense layer. The terms of x and of the result begin with the batch's
    letter, which the kernel's lacks.

    Parameters: kernel of ``kernel_shape``, bias of ``bias_shape`` unless that is None.
    """

    equation: str
    kernel_shape: tuple[int, ...]
    bias_shape: tuple[int, ...] | None = None

    def params(self, x: Tensor) -> Mapping[str, Param]:
        kernel = {"kernel": Param(self.kernel_shape)}
        return kernel if self.bias_shape is None else kernel | {"bias": Param(self.bias_shape)}

    def infer(self, x: Tensor) -> Tensor:
        equation = self._equation(x.rank)
        first, kernel = equation.operands
        if not first[:1] == equation.result[:1] or first[:1] in kernel:
            raise ValueError(f"equation {equation}: the batch is not x's and the result's first")
        sizes = equation.sizes([x.shape, self.kernel_shape])
        y = Tensor(tuple(sizes[letter] for letter in equation.result))
        self._check_bias(y)
        return y

    def _equation(self, rank: int) -> Equation:
        return Equation.of(self.equation, [rank, len(self.kernel_shape)])

    def _check_bias(self, y: Tensor) -> None:
        bias = self.bias_shape or ()
        padded = (1,) * (y.rank - len(bias)) + bias
        if len(padded) > y.rank or padded[0] != 1:
            raise ValueError(f"a bias of {bias} is not the same for every row")
        for n, size in zip(padded, y.shape, strict=True):
            if n != 1 and isinstance(size, int) and n != size:
                raise ValueError(f"a bias of {bias} does not fit a result of {y.shape}")

    def bind(self, at: Frame) -> tuple[Steps, Steps]:
        xp, bias, y = at.xp, at.p.get("bias"), at.y[0]
        equation = self._equation(at.x[0].ndim)
        operands = (at.x[0], at.p["kernel"])
        product = contraction(at, equation, operands, y)
        forward = product if bias is None else in_turn([product, lambda: xp.add(y, bias, out=y)])
        if not at.grads:
            return forward, None
        backward = gradients(at, equation, operands, (at.dx[0], at.dp.get("kernel")))
        if "bias" in at.dp:
            dbias, dy = at.dp["bias"], at.dy[0]
            dbias = dbias.reshape((1,) * (dy.ndim - dbias.ndim) + dbias.shape)
            axes = tuple(i for i, n in enumerate(dbias.shape) if n != dy.shape[i] or i == 0)
            backward += (lambda: xp.add.reduce(dy, axis=axes, keepdims=True, out=dbias),)
        return forward, backward

    def onnx(self, tape: Tape, p: Mapping[str, Value], x: Value) -> Value:
        equation = self._equation(x.rank)
        sizes = equation.sizes([tape.type().shape, self.kernel_shape])
        y = emitted(tape, equation, sizes, [tape.last(x), p["kernel"]])
        return y if self.bias_shape is None else tape.op("Add", [y, p["bias"]])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        sequence, heads = Tensor(("N", "T", 4)), Tensor(("N", "T", 2, 3))
        return [
            (cls("...x,xy->...y", (4, 3), (3,)), [sequence]),
            (cls("ab,bc->ac", (4, 3)), [Tensor(("N", 4))]),
            (cls("abc,cde->abde", (4, 2, 3), (2, 3)), [sequence]),
            (cls("abcd,cde->abe", (2, 3, 4), (4,)), [heads]),
            (cls("abc,cd->adb", (4, 3), (3, 1)), [sequence]),
            (cls("abc,bd->adc", (3, 2), (2, 4)), [Tensor(("N", 3, 4))]),
            (cls("abcd,cbe->aed", (2, 3, 2), (2, 1)), [Tensor(("N", 3, 2, "T"))]),
            (cls("abc,bcd->abd", (3, 4, 2), (3, 2)), [Tensor(("N", 3, 4))]),
            (cls("ab,c->abc", (3,), (1, 1, 3)), [Tensor(("N", 4))]),
            (cls("ab...,bc->ac...", (3, 2), (2, 1)), [Tensor(("N", 3, 4))]),
            (cls("abc,c->ab", (4,)), [sequence]),
            (cls("abc,->abc", ()), [sequence]),
        ]


def gradients(
    at: Frame, equation: Equation, x: Sequence[Array], dx: Sequence[Array | None]
) -> tuple[Step, ...]:
    """The steps that write the gradient of each operand that needs one."""
    return tuple(
        contraction(at, equation.gradient(i), (at.dy[0], *x[:i], *x[i + 1 :]), to)
        for i, to in enumerate(dx)
        if to is not None
    )


def emitted(tape: Tape, equation: Equation, sizes: Mapping[str, Size], x: Sequence[Value]) -> Value:
    """The contraction in ONNX: a MatMul where axes that must become one have no open size."""
    terms = [*equation.operands, equation.result]
    if len(x) == 2 and all(sum(c in term for term in terms) > 1 for c in sizes):
        roles = equation.roles()
        if roles.batch and len(roles.columns) == 1 and equation.result[-1] == roles.rows:
            x, equation = x[::-1], Equation(equation.operands[::-1], equation.result)
            roles = equation.roles()  # one Transpose fewer
        merged = [group for group in (roles.inner, roles.columns) if len(group) != 1]
        known = all(isinstance(sizes[c], int) for group in merged for c in group)
        if roles.inner and known and (len(roles.rows) == 1 or not roles.batch):
            return _matmul(tape, equation, sizes, x)
    return tape.op("Einsum", x, rank=len(equation.result), equation=str(equation))


def _matmul(tape: Tape, equation: Equation, sizes: Mapping[str, Size], x: Sequence[Value]) -> Value:
    """Transposes, makes one axis of several inner ones and one of the columns, multiplies."""
    roles, (first, second) = equation.roles(), equation.operands
    rows, columns = roles.batch + roles.rows, roles.columns
    a = _ordered(tape, x[0], first, rows + roles.inner)
    b = _ordered(tape, x[1], second, roles.batch + roles.inner + columns)

    def merged(letters: str) -> int:
        return math.prod(int(sizes[c]) for c in letters)

    inner = 0 if len(roles.inner) == 1 else merged(roles.inner)  # 0 copies the size at its place
    if inner:
        a = _reshaped(tape, a, [*[0] * len(rows), inner])
    if inner or len(columns) != 1:
        last = -1 if len(columns) == 1 else merged(columns)
        b = _reshaped(tape, b, [*[0] * len(roles.batch), inner, last])
    y = tape.op("MatMul", [a, b])
    if len(columns) != 1:
        y = _reshaped(tape, y, [*[0] * len(rows), *(int(sizes[c]) for c in columns)])
    return _ordered(tape, y, rows + columns, equation.result)


def _ordered(tape: Tape, x: Value, term: str, letters: str) -> Value:
    if term == letters:
        return x
    return tape.op("Transpose", [x], perm=[term.index(c) for c in letters])


def _reshaped(tape: Tape, x: Value, shape: Sequence[int]) -> Value:
    return tape.op("Reshape", [x, tape.constant(shape)], rank=len(shape))
