"""One example, one answer: from a stored network, with no more than the base install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.runtime import nn
from cortex.runtime.errors import UsageError
from cortex.runtime.label_one import label_one
from cortex.runtime.network import Network

KERNEL = np.array([[0, 0, 5], [0, 5, 0], [5, 0, 0], [0, 0, 0]], np.float32)


def network() -> Network:
    """Sees the class 2 in the first pixel of 2 × 2, 1 in the second, 0 in the third."""
    layers = [
        nn.input(height=2, width=2),
        nn.linear(3, initial={"kernel": KERNEL}),
        nn.softmax(),
    ]
    return nn.sequential(layers).network


ASKED: list[tuple[Any, dict[str, Any], Any, Any]] = [
    (np.eye(4)[0].reshape(2, 2, 1), {}, 2, None),
    (np.eye(4)[1].reshape(2, 2), {}, 1, None),
    ([0, 0, 1, 0], {"answer": 0}, 0, True),
    ([1, 0, 0, 0], {"labels": "abc", "answer": 0}, "c", False),
    ([1, 0, 0, 0], {"labels": "abc", "answer": "c", "output": "softmax-1"}, "c", True),
]


@pytest.mark.parametrize(("example", "options", "guess", "right"), ASKED)
def test_an_example_is_given_its_class(
    example: Any, options: dict[str, Any], guess: Any, right: Any
) -> None:
    found = label_one(network(), example, **options)
    assert (found.guess, found.right) == (guess, right)
    assert found.confidence == pytest.approx(np.exp(5) / (np.exp(5) + 2), 1e-4)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of sums that overflow
@pytest.mark.parametrize(
    ("example", "options", "message"),
    [
        ([1, 2, 3], {}, "input-1"),
        ([0, np.nan, 0, 0], {}, "the example has a value that is not finite"),
        ([0, -np.inf, 0, 0], {}, "the example has a value that is not finite"),
        ([3e38, 3e38, 3e38, 0], {}, "output 'softmax-1' has a value that is not finite"),
        ([0, 0, 0, 0], {"labels": ["a"]}, "1 names for 3 classes"),
        ([0, 0, 0, 0], {"labels": "abc", "answer": 3}, "answer 3 is not from 0 to 2"),
        ([0, 0, 0, 0], {"output": "none"}, "none"),
        ([0, 0, 0, 0], {"states": {"none": 1}}, "none"),
    ],
)
def test_what_does_not_fit_is_refused(example: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        label_one(network(), example, **options)


def remembering() -> Network:
    """Adds up what it reads, step by step: of class 1 once that is more than ½."""
    layers = [
        nn.input(shape=("T", 1), name="x"),
        nn.recurrent(
            1,
            activation="linear",
            stateful=True,
            return_sequences=True,
            name="sum",
            initial={"kernel": np.ones((1, 1)), "recurrent_kernel": np.ones((1, 1))},
        ),
        nn.linear(
            2,
            flatten=False,
            initial={"kernel": np.array([[-1.0, 1.0]]), "bias": np.array([0.5, -0.5])},
        ),
        nn.softmax(name="much"),
    ]
    return nn.sequential(layers).network


@pytest.mark.parametrize(
    ("carried", "guesses"), [(None, [0, 0, 0]), ({}, [0, 1, 1]), ({"sum/h": [[0.5]]}, [1, 1, 1])]
)
def test_states_are_carried_if_asked_and_else_begin_anew(carried: Any, guesses: list[int]) -> None:
    one = remembering()
    found = [label_one(one, [[0.3], [0.1]], states=carried).guess for _ in range(3)]
    assert found == guesses
    if carried is not None:
        assert carried["sum/h"].shape == (1, 1)


def test_the_last_of_a_sequence_of_answers_counts() -> None:
    assert label_one(remembering(), [[0.1], [0.9]], output="much").guess == 1
    assert label_one(remembering(), [[0.9], [-0.9]]).guess == 0


CODE = """
import sys
import numpy as np
from cortex.runtime.label_one import label_one
print(label_one(sys.argv[1], np.eye(4)[0], answer=2).right)
print({"h5py", "onnxruntime", "sklearn", "grpc"} & set(sys.modules))
"""


def test_a_stored_network_needs_the_base_install_only(tmp_path: Path) -> None:
    network().save(tmp_path / "n.safetensors")
    asked = [sys.executable, "-c", CODE, str(tmp_path / "n.safetensors")]
    found = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "set()"]
    assert label_one(tmp_path / "n.safetensors", np.eye(4)[1]).guess == 1
