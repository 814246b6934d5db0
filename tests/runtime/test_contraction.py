"""Contractions: held against NumPy's, what they copy, refuse, and become in ONNX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cortex.runtime.equation import Equation
from cortex.runtime.frame import Frame, Scratch
from cortex.runtime.kernels.contraction import contraction
from cortex.runtime.op import Operation
from cortex.runtime.ops import Einsum, EinsumDense
from cortex.runtime.tape import Tape, Value
from cortex.runtime.tensor import Size, Tensor

from .networks import Array, drawn

SIZES = {"a": 2, "b": 3, "c": 4, "d": 5, "e": 1, "f": 2}


def frame(memory: Scratch) -> Frame:
    arrays: dict[str, Any] = dict.fromkeys(("x", "y", "dx", "dy"), ())
    return Frame(
        xp=np,
        dtype=np.dtype(np.float64),
        p={},
        dp={},
        training=False,
        frozen=False,
        grads=False,
        name="y",
        scratch_memory=memory,
        draw=lambda shape, row: lambda: None,
        draw_words=lambda shape, row: lambda: None,
        **arrays,
    )


def operands(equation: Equation) -> list[Array]:
    return [
        drawn([SIZES[c] for c in term], i, np.float64) for i, term in enumerate(equation.operands)
    ]


def contracted(equation: Equation, memory: Scratch | None = None) -> Array:
    y = np.full([SIZES[c] for c in equation.result], np.nan)
    contraction(frame(memory or Scratch(np)), equation, operands(equation), y)()
    return y


def equations() -> list[Equation]:
    """Random ones: every role a letter can have, in any order."""
    rng = np.random.default_rng(0)

    def term(letters: str) -> str:
        return "".join(rng.permutation(list(letters))[: rng.integers(1, len(letters) + 1)])

    found: list[Equation] = []
    for i in range(150):
        terms = tuple(term("abcdef") for _ in range(1 + (i % 5 > 0)))
        found.append(Equation(terms, term("".join(sorted(set("".join(terms)))))))
    return found


def test_a_contraction_is_that_of_numpy() -> None:
    for equation in equations():
        wanted = np.einsum(str(equation), *operands(equation))
        np.testing.assert_allclose(
            contracted(equation), wanted, rtol=1e-12, atol=1e-12, err_msg=str(equation)
        )


def test_letters_that_only_the_result_has_repeat_it() -> None:
    for equation in equations():
        for i, term in enumerate(equation.operands):
            gradient = equation.gradient(i)
            known = "".join(c for c in term if c in "".join(gradient.operands))
            wanted = np.einsum(f"{','.join(gradient.operands)}->{known}", *operands(gradient))
            wanted = wanted[tuple(slice(None) if c in known else None for c in term)]
            found = contracted(gradient)
            wanted = np.broadcast_to(wanted, found.shape)
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12, err_msg=str(gradient))


class Counting(Scratch):
    """Scratch memory that counts what is taken."""

    taken = 0

    def take(self, shape: tuple[int, ...], dtype: Any) -> Array:
        self.taken += int(np.prod(shape))
        return super().take(shape, dtype)


COPIES = [
    # equation, elements copied
    ("abc,cd->abd", 0),  # a dense layer, and its gradients
    ("abd,cd->abc", 0),
    ("abc,abd->cd", 0),
    ("abc,cdf->abdf", 0),  # attention: the projections, the scores, their sum, the output
    ("afcd,abcd->acbf", 0),
    ("acbf,afcd->abcd", 0),
    ("abcd,cdf->abf", 0),
    ("abc,bac->bc", 0),
    ("abc,cd->adb", 2 * 5 * 3),  # rows a and b do not lie beside each other in the result
    ("ab,cb->bac", 0),  # nothing is summed: a product, in any order
    ("abcf,bfd->acd", 2 * 3 * 4 * 2),  # b and f do not lie beside each other
    ("dbc,cbf->df", 4 * 3 * 2),  # the axes to sum over are in two orders: one is made the other
]


@pytest.mark.parametrize(("text", "copied"), COPIES, ids=[text for text, _ in COPIES])
def test_only_what_blas_cannot_take_is_copied(text: str, copied: int) -> None:
    memory = Counting(np)
    terms, result = text.split("->")
    contracted(Equation(tuple(terms.split(",")), result), memory)
    assert memory.taken == copied


EXPANDED = [
    ("...x,xy->...y", (4, 2), "abcx,xy->abcy"),
    ("...x,xy->...y", (1, 2), "x,xy->y"),
    ("...ij,...jk->...ik", (4, 3), "abij,bjk->abik"),
    ("ab...,bc->ac...", (3, 2), "abd,bc->acd"),
    (" ab , bc -> ac ", (2, 2), "ab,bc->ac"),
    ("a...->a", (3,), "abc->a"),
]


@pytest.mark.parametrize(("text", "ranks", "expanded"), EXPANDED)
def test_an_ellipsis_is_spelled_out(text: str, ranks: tuple[int, ...], expanded: str) -> None:
    assert str(Equation.of(text, ranks)) == expanded


Shape = tuple[Size, ...]

SHAPES: list[tuple[Operation, list[Shape], Shape]] = [
    (Einsum("abc,acd->abd"), [("N", "T", 4), ("N", "S", 5)], ("N", "T", 5)),
    (Einsum("abc,acd->adcb"), [("N", "T", "S"), ("N", 4, 5)], ("N", 5, 4, "T")),
    (Einsum("abc,acd->ac"), [(2, 3, "S"), ("N", "T", 5)], (2, "S")),
    (EinsumDense("...x,xy->...y", (4, 3)), [("N", "H", "W", 4)], ("N", "H", "W", 3)),
    (EinsumDense("ab,bc->ac", (4, 3), (1, 3)), [("N", "F")], ("N", 3)),
    (EinsumDense("abc,dc->abd", (2, 4), (1, 1)), [("N", "T", "C")], ("N", "T", 2)),
]


@pytest.mark.parametrize(("op", "inputs", "shape"), SHAPES)
def test_numbers_win_over_names(op: Operation, inputs: Sequence[Shape], shape: Shape) -> None:
    assert op.infer(*(Tensor(x) for x in inputs)) == Tensor(shape)


REFUSED: list[tuple[Operation, list[Shape], str]] = [
    (Einsum("ab"), [("N", 3)], "equation 'ab' has no '->'"),
    (Einsum("ab,ac->a"), [("N", 3)], "equation 'ab,ac->a' has 2 operands, not 1"),
    (Einsum("a,a,a->a"), [("N",)] * 3, "needs one or two inputs, not 3"),
    (Einsum("aab->ab"), [("N", 3, 3)], "equation 'aab->ab': a letter stands twice in 'aab'"),
    (Einsum("ab->aa"), [("N", 3)], "a letter stands twice in 'aa'"),
    (Einsum("a1->a"), [("N", 3)], "equation 'a1->a': '1' is no letter"),
    (Einsum("......a->a"), [("N", 3)], "'.' is no letter"),
    (Einsum("ab->a"), [("N", 3, 4)], "equation 'ab->a': 'ab' does not fit 3 axes"),
    (Einsum("abc...->a"), [("N", 3)], "'abc...' does not fit 2 axes"),
    (Einsum("ab->ac"), [("N", 3)], "equation ab->ac: no operand has 'c'"),
    (Einsum("abc,acd->abd"), [("N", 2, 3), ("N", 4, 5)], "abc,acd->abd: 'c' is 3 and 4"),
    (Einsum("ab->ba"), [("N", 3)], "ab->ba: a term does not begin with the batch's letter"),
    (Einsum("ab,ab->"), [("N", 3)] * 2, "a term does not begin with the batch's letter"),
    (Einsum("ab,ba->a"), [("N", 3)] * 2, "a term does not begin with the batch's letter"),
    (Einsum("...ij,...jk->...ik"), [("N", 3, 2, 4), ("N", 4, 5)], "the batch's letter"),
    (EinsumDense("ab,bc->ca", (3, 2)), [("N", 3)], "the batch is not x's and the result's first"),
    (EinsumDense("ab,ac->ab", (3, 2)), [("N", 3)], "the batch is not x's and the result's first"),
    (EinsumDense("ab,bc->ac", (4, 2)), [("N", 3)], "'b' is 3 and 4"),
    (EinsumDense("ab,bc->ac", (3,)), [("N", 3)], "'bc' does not fit 1 axes"),
    (EinsumDense("ab,bc->ac", (3, 2), (3,)), [("N", 3)], "a bias of (3,) does not fit"),
    (EinsumDense("ab,bc->ac", (3, 2), (4, 2)), [("N", 3)], "is not the same for every row"),
    (EinsumDense("ab,bc->ac", (3, 2), (1, 1, 2)), [("N", 3)], "is not the same for every row"),
]


@pytest.mark.parametrize(("op", "inputs", "message"), REFUSED)
def test_what_does_not_fit_is_refused(op: Operation, inputs: Sequence[Shape], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        op.infer(*(Tensor(x) for x in inputs))


def emitted(op: Operation, *inputs: Shape) -> str:
    """The kinds of the ONNX nodes."""
    tape = Tape()
    tape.types = [Tensor(shape) for shape in inputs]
    parameters = {name: Value(name, len(p.shape)) for name, p in op.params(*tape.types).items()}
    op.onnx(tape, parameters, *(Value(f"x{i}", len(x)) for i, x in enumerate(inputs)))
    return " ".join(node.op_type for node in tape.nodes)


HEADS: Shape = ("N", "T", 8, 64)
EMITTED: list[tuple[Operation, list[Shape], str]] = [
    (Einsum("abc,acd->abd"), [("N", "T", 4), ("N", 4, 5)], "MatMul"),
    (Einsum("aecd,abcd->acbe"), [("N", "S", 8, 64), HEADS], "Transpose Transpose MatMul"),
    (
        Einsum("acbe,aecd->abcd"),
        [("N", 8, "T", "S"), ("N", "S", 8, 64)],
        "Transpose MatMul Transpose",
    ),
    (EinsumDense("...x,xy->...y", (4, 3), (3,)), [("N", "T", 4)], "MatMul Add"),
    (
        EinsumDense("abc,cde->abde", (16, 8, 64), (8, 64)),
        [("N", "T", 16)],
        "Reshape MatMul Reshape Add",
    ),
    (EinsumDense("abcd,cde->abe", (8, 64, 16)), [HEADS], "Reshape Reshape MatMul"),
    # Rows or columns of several axes, one of them open, cannot be made one axis.
    (Einsum("abcd,aefd->abcef"), [HEADS, HEADS], "Einsum"),
    (Einsum("abcd,aed->abce"), [HEADS, ("N", "S", 64)], "Einsum"),
    (Einsum("ab,ac->abc"), [("N", 4), ("N", 5)], "Einsum"),
]


@pytest.mark.parametrize(("op", "inputs", "kinds"), EMITTED)
def test_onnx_multiplies_matrices_where_it_can(
    op: Operation, inputs: Sequence[Shape], kinds: str
) -> None:
    assert emitted(op, *inputs) == kinds
