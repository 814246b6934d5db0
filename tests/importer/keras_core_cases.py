"""Cases of dense layers, activations, shapes, embeddings and normalization: see keras_cases.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

VECTOR, SERIES, IMAGE, OPEN = (6,), (7, 4), (8, 7, 4), (None, 4)
ELEMENT = ()
Build = Callable[[Any], Callable[[Any], Any]]


def words(nn: Any, x: Any, count: int = 11) -> Any:
    """The numbers of words, as floats."""
    return nn.Rescaling(count / 2, count / 2)(x)


def embedded(**options: Any) -> Build:
    """An embedding of words."""
    return lambda nn: lambda x: nn.Embedding(11, 5, **options)(words(nn, x))


def reversed_embedding(**options: Any) -> Build:
    """Words to vectors, and back."""

    def build(nn: Any) -> Callable[[Any], Any]:
        def apply(x: Any) -> Any:
            layer = nn.ReversibleEmbedding(11, 5, **options)
            return layer(nn.Dense(5)(layer(words(nn, x))), reverse=True)

        return apply

    return build


def activation_object(nn: Any) -> Any:
    """A layer in the place of an activation."""
    return nn.Dense(5, activation=nn.LeakyReLU(0.1))


LAYERS: Mapping[str, tuple[Any, Build]] = {
    "dense over images": (IMAGE, lambda nn: nn.Dense(3, activation="softmax")),
    "dense over open series": (OPEN, lambda nn: nn.Dense(3)),
    "activation object": (VECTOR, activation_object),
    "activation layer of softmax": (IMAGE, lambda nn: nn.Activation("softmax")),
    "softmax over axes": (IMAGE, lambda nn: nn.Softmax(axis=[1, 2])),
    "softmax over an axis in a list": (IMAGE, lambda nn: nn.Softmax(axis=[-2])),
    "softmax with a mask": (
        SERIES,
        lambda nn: lambda x: nn.Softmax()(x, mask=nn.ReLU(threshold=0.3)(x)),
    ),
    "prelu of open series": (OPEN, lambda nn: nn.PReLU("random_normal", shared_axes=[1])),
    "flatten channels first": (
        IMAGE,
        lambda nn: lambda x: nn.Flatten("channels_first")(nn.Permute((3, 1, 2))(x)),
    ),
    "flatten vectors": (VECTOR, lambda nn: nn.Flatten(data_format="channels_first")),
    "flatten numbers": (ELEMENT, lambda nn: nn.Flatten()),
    "flatten open series": (OPEN, lambda nn: nn.Flatten()),
    "reshape open series": (OPEN, lambda nn: nn.Reshape((-1, 2, 2))),
    "reshape to a vector": (IMAGE, lambda nn: nn.Reshape((-1,))),
    "permute open series": (OPEN, lambda nn: nn.Permute((2, 1))),
    "repeat": (VECTOR, lambda nn: nn.RepeatVector(3)),
    "identity": (VECTOR, lambda nn: nn.Identity()),
    "embedding": (SERIES, embedded()),
    "embedding of open series": ((None,), embedded()),
    "embedding of numbers": (ELEMENT, embedded()),
    "embedding with a mask": (
        (7,),
        lambda nn: (
            lambda x: nn.GlobalAveragePooling1D()(
                nn.Embedding(11, 5, mask_zero=True)(nn.ReLU(threshold=2.0)(words(nn, x)))
            )
        ),
    ),
    "einsum": (SERIES, lambda nn: nn.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d")),
    "einsum of heads": (
        SERIES,
        lambda nn: nn.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", activation="relu"),
    ),
    "einsum over series": (
        SERIES,
        lambda nn: nn.EinsumDense("abc,bd->adc", (5, 4), bias_axes="d", activation="tanh"),
    ),
    "einsum with dots": (IMAGE, lambda nn: nn.EinsumDense("...x,xy->...y", 5, bias_axes="y")),
    "einsum without a bias": (SERIES, lambda nn: nn.EinsumDense("abc,cd->abd", (None, 5))),
    "layer norm": (IMAGE, lambda nn: nn.LayerNormalization()),
    "layer norm over axes": (IMAGE, lambda nn: nn.LayerNormalization(axis=[1, 2, 3])),
    "layer norm of an axis": (IMAGE, lambda nn: nn.LayerNormalization(axis=1, epsilon=0.1)),
    "layer norm without scale": (IMAGE, lambda nn: nn.LayerNormalization(scale=False)),
    "layer norm without centre": (IMAGE, lambda nn: nn.LayerNormalization(center=False)),
    "layer norm of images": (SERIES, lambda nn: nn.LayerNormalization(center=False, scale=False)),
    "group norm": (IMAGE, lambda nn: nn.GroupNormalization(2)),
    "group norm of an axis": (IMAGE, lambda nn: nn.GroupNormalization(4, axis=1, epsilon=0.1)),
    "instance norm": (IMAGE, lambda nn: nn.GroupNormalization(-1, center=False)),
    "group norm without scale": (VECTOR, lambda nn: nn.GroupNormalization(3, scale=False)),
    "group norm channels first": (
        IMAGE,
        lambda nn: lambda x: nn.GroupNormalization(2, axis=1)(nn.Permute((3, 1, 2))(x)),
    ),
    "unit norm": (IMAGE, lambda nn: nn.UnitNormalization()),
    "unit norm over axes": (IMAGE, lambda nn: nn.UnitNormalization(axis=[1, 2])),
    "spectral norm": (VECTOR, lambda nn: nn.SpectralNormalization(nn.Dense(5, activation="tanh"))),
    "spectral norm of images": (
        IMAGE,
        lambda nn: nn.SpectralNormalization(nn.Conv2D(5, 3, use_bias=False), 2),
    ),
    "batch norm channels first": (
        IMAGE,
        lambda nn: lambda x: nn.BatchNormalization(axis=1)(nn.Permute((3, 1, 2))(x)),
    ),
    "batch renorm": (IMAGE, lambda nn: nn.BatchNormalization(renorm=True)),
}

OF_KERAS_3: Mapping[str, tuple[Any, Build]] = {
    "layer norm by deviation": (SERIES, lambda nn: nn.LayerNormalization(rms_scaling=True)),
    "rms norm": (IMAGE, lambda nn: nn.RMSNormalization()),
    "rms norm over axes": (IMAGE, lambda nn: nn.RMSNormalization(axis=[-2, -1], epsilon=0.1)),
    "reversible embedding": ((7,), reversed_embedding()),
    "reversible embedding untied": ((7,), reversed_embedding(tie_weights=False)),
    "reversible embedding capped": ((7,), reversed_embedding(logit_soft_cap=2.0)),
    "relu as keras 3": (IMAGE, lambda nn: nn.ReLU(1.5, 0.1, 0.2)),
}

OF_KERAS_2: Mapping[str, tuple[Any, Build]] = {
    "thresholded relu": (IMAGE, lambda nn: nn.ThresholdedReLU(0.3)),
    "norm over axes": (IMAGE, lambda nn: nn.BatchNormalization(axis=[1, 3])),
    "synchronized norm": (IMAGE, lambda nn: nn.BatchNormalization(synchronized=True)),
}

ACTIVATIONS = ("glu", "sparse_plus", "sparse_sigmoid", "sparsemax")


def activated(name: str) -> Build:
    """A dense layer with an activation."""
    return lambda nn: nn.Dense(6, activation=name)


CASES: Mapping[str, tuple[Any, Build]] = {
    **LAYERS,
    **OF_KERAS_3,
    **{f"activation {name}": (VECTOR, activated(name)) for name in ACTIVATIONS},
}
