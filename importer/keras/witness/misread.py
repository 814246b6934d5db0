"""What today's Keras is known to load without an error and to compute otherwise.

Found by reading Keras 3.15, tf_keras 2.21 and the versions that wrote the files, and by running
them against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..file import KerasFile
from ..wiring import MODELS
from .facts import JAX, TENSORFLOW, Facts, layers_in
from .vanished import MERGES, MINDFUL

KERAS_3, TF_KERAS = "keras", "tf_keras"
BOTH = (KERAS_3, TF_KERAS)

CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose", "ConvLSTM2D")
LISTED = ("Attention", "AdditiveAttention")
MHA = "MultiHeadAttention"
GATED = ("ConvLSTM2D", "GRU", "GRUCell", "LSTM", "LSTMCell")
HALF = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16", "float64")


@dataclass(frozen=True)
class Misreading:
    """Which packages compute something else, and from which files.

    ``even_rewritten``: so they do with the model as we rewrote it, for a layer changed since.
    """

    packages: Sequence[str]
    why: str
    applies: Callable[[Facts], bool]
    even_rewritten: bool = False


def _theano(facts: Facts) -> bool:
    """Its kernels lie turned round, and it pads otherwise."""
    padded = any(
        config.get("padding") == "same"
        for kind, config in facts.layers
        if kind.startswith(("AveragePooling", "MaxPooling"))
    )
    return facts.file.backend == "theano" and (padded or facts.has(*CONVOLUTIONS))


def _hard_sigmoid(facts: Facts) -> bool:
    said = any("hard_sigmoid" in map(str, config.values()) for _, config in facts.layers)
    implied = any("recurrent_activation" not in config for config in facts.of(*GATED))
    return facts.is_old and (said or implied)


def _half(facts: Facts) -> bool:
    return any(_policy(config.get("dtype")) in HALF for _, config in facts.layers)


def _policy(dtype: Any) -> Any:
    """The name of a policy, whatever object it is written as."""
    while isinstance(dtype, dict):
        config = dtype.get("config")
        dtype = config.get("name") if isinstance(config, dict) else None
    return dtype


def _frozen_inside(facts: Facts) -> bool:
    inner = list(facts.layers)[1:] if facts.file.format != "keras-zip" else []
    return any(
        options.get("trainable") is False
        for kind, config in inner
        if kind in MODELS
        for _, options in layers_in(config)
    )


def _zeros_for_masked(facts: Facts) -> bool:
    sequences = any(
        options.get("return_sequences")
        for config in facts.of("Bidirectional")
        for _, options in layers_in(config)
    )
    return facts.is_external and facts.has_masks and sequences


def _keeps_given_states(facts: Facts) -> bool:
    """Whether a layer that keeps its states is also given some."""
    return any(layer.config.get("stateful") for layer, _ in facts.given_states)


def _masks_exactly(facts: Facts) -> bool:
    """Whether a softmax may be asked for a row that is masked as a whole."""
    scores = any(c.get("dropout") for c in facts.of(MHA)) or facts.returns_scores
    return facts.has_masks and (facts.has("Softmax") or (facts.has(MHA) and scores))


def _takes_masks_off(facts: Facts) -> bool:
    """Whether what attends is used again, by what asks a tensor itself for its mask.

    Files of Keras 3 give most layers the masks that were found when the model was built.
    """
    return facts.has_masks and facts.has(MHA) and (facts.is_old or facts.has(*MINDFUL))


def _loses_masks(facts: Facts) -> bool:
    return facts.origin.loses_masks_of_lists and facts.has_masks


def _states_before(facts: Facts) -> bool:
    """Whether states that are not zeros meet a mask, so that the backends differ.

    A call of Keras 3 that is given states heeds only a mask that it names.
    """
    given = any(facts.is_old or call.kwargs.get("mask") for _, call in facts.given_states)
    masked = facts.has_masks and (facts.is_stateful or given)
    return masked and facts.puts_state_before_first_step != (facts.backend == JAX)


def _bicubic(facts: Facts) -> bool:
    tabulated = facts.is_old or facts.file.backend == TENSORFLOW
    resized = any(config.get("interpolation") == "bicubic" for _, config in facts.layers)
    return resized and tabulated != (facts.backend == TENSORFLOW)


def _axes_dropped(facts: Facts) -> bool:
    axes = [config["axis"] for _, config in facts.layers if "axis" in config]
    several = any(axis is None or (isinstance(axis, list) and len(axis) != 1) for axis in axes)
    return several and facts.file.format not in ("keras-zip", "keras-directory")


MISREADINGS = (
    Misreading(
        BOTH,
        "it does not read what Keras 1 calls its options",
        lambda facts: facts.file.generation == 1,
    ),
    Misreading((TF_KERAS,), "it is older than the file", lambda facts: facts.file.generation > 2),
    Misreading(
        BOTH,
        "it does not turn round the convolution kernels of a file written on Theano, nor pads as "
        "Theano does",
        _theano,
    ),
    Misreading(
        (KERAS_3,), "its hard_sigmoid has another slope than that of Keras 1 and 2", _hard_sigmoid
    ),
    Misreading(
        BOTH,
        "it takes a GRU that says nothing of reset_after for one that resets after the product",
        lambda facts: (
            facts.is_old and any("reset_after" not in c for c in facts.of("GRU", "GRUCell"))
        ),
    ),
    Misreading(
        (KERAS_3,),
        "from HDF5 it takes a layer over several axes for one over the last",
        _axes_dropped,
    ),
    Misreading(
        (KERAS_3,),
        "where masks are merged, it keeps what any of them keeps, Keras 2 what all of them do",
        lambda facts: facts.is_old and facts.has_masks and facts.has(*MERGES),
    ),
    Misreading(
        (KERAS_3,),
        "it hands the masks of a list of tensors on, which Keras 3.0 to 3.3 did not",
        lambda facts: _loses_masks(facts) and facts.has(*MERGES),
    ),
    Misreading(
        (KERAS_3,),
        "it hands the mask of what attends on, which Keras 3.0 to 3.3 did not",
        lambda facts: _loses_masks(facts) and facts.has(*LISTED),
        even_rewritten=True,
    ),
    Misreading(
        BOTH,
        "its Bidirectional puts out zeros at masked steps, Keras 2 the output before",
        _zeros_for_masked,
    ),
    Misreading(
        BOTH,
        "its Softmax and MultiHeadAttention heed masks that those of the file's version did not",
        lambda facts: (
            facts.is_old
            and facts.has_masks
            and (
                (facts.is_before(2, 4) and facts.has("Softmax"))
                or (facts.is_before(2, 10) and facts.has(MHA))
            )
        ),
        even_rewritten=True,
    ),
    Misreading(
        (KERAS_3,),
        "its Softmax and MultiHeadAttention put out zeros where all is masked, those before 3.10 "
        "equal parts",
        lambda facts: facts.is_before(3, 10) and _masks_exactly(facts),
        even_rewritten=True,
    ),
    Misreading(
        (KERAS_3,),
        "its MultiHeadAttention takes the masks off its tensors, which that before 3.8 did not",
        lambda facts: facts.is_before(3, 8) and _takes_masks_off(facts),
        even_rewritten=True,
    ),
    Misreading(
        (KERAS_3,),
        "it heeds no mask where a recurrent layer is given states, Keras 2 does",
        lambda facts: facts.is_old and facts.has_masks and bool(facts.given_states),
    ),
    Misreading(
        BOTH,
        "its backend puts out something else before the first step that counts",
        _states_before,
        even_rewritten=True,
    ),
    Misreading(
        BOTH,
        "its backend interpolates bicubically by other weights, which TensorFlow has in a table",
        _bicubic,
        even_rewritten=True,
    ),
    Misreading(
        (KERAS_3,),
        "from HDF5 it leaves a Normalization inside another layer as if it had read nothing",
        lambda facts: not facts.file.weights.is_tree and facts.has_inside("Normalization"),
    ),
    Misreading(
        (KERAS_3,),
        "its stateful layers begin every call with given states, those of Keras 2 the first alone",
        lambda facts: facts.is_old and _keeps_given_states(facts),
    ),
    Misreading(
        BOTH,
        "it interpolates between the centres of pixels, the file's version between their corners",
        lambda facts: (
            facts.is_old
            and (facts.is_external or facts.is_before(2, 3))
            and any(
                c.get("interpolation", "nearest") != "nearest" for c in facts.of("UpSampling2D")
            )
        ),
    ),
    Misreading(
        BOTH,
        "it counts the states of stacked cells from the first, the file's version from the last",
        lambda facts: facts.is_external and facts.has("StackedRNNCells"),
    ),
    Misreading(
        BOTH,
        "in a model inside another, some of whose layers are frozen, it may give arrays to others",
        _frozen_inside,
    ),
    Misreading(BOTH, "it computes in another precision than float32, as the file says", _half),
)


def misread(
    file: KerasFile, package: str = KERAS_3, backend: str = JAX, *, rewritten: bool = False
) -> str | None:
    """Why a package is known to load this file and compute something else; None if it is not.

    ``rewritten``: why it computes something else of the model as we rewrote it.
    """
    facts = Facts(file, backend)
    rows = (row for row in MISREADINGS if row.even_rewritten or not rewritten)
    return next((row.why for row in rows if package in row.packages and row.applies(facts)), None)
