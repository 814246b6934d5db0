"""What a converter sees: a layer that remembers what was read of it, and a graph to add to.

Nothing the file says is ignored in silence. An option is read, or inert by name, or inert at a
neutral value, or an error; an array is read, or an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...runtime import ops
from ...runtime.errors import UnreadableFile, Unsupported
from ...runtime.ir import Node
from ...runtime.op import Operation
from ...runtime.tensor import Size, Tensor
from ..builder import channels_first
from ..deferred import Deferred
from ..registry import Registry
from .arrays import Arrays
from .builder import Builder
from .builder import Value as Value  # for packages that add converters
from .origin import Origin
from .wiring import LayerFacts, inner_facts

INERT = frozenset(
    {
        "activity_regularizer", "batch_input_shape", "batch_shape", "build_config",
        "build_input_shape", "fused", "implementation", "input_dim", "input_dtype", "input_length",
        "input_shape", "name", "optional", "renorm_clipping", "renorm_momentum", "seed",
        "synchronized", "trainable", "unroll", "use_cudnn", "virtual_batch_size",
    }
)  # fmt: skip
"""Options that never change what a layer computes at inference."""

INERT_ENDINGS = ("_constraint", "_initializer", "_regularizer")
"""Endings of such options; what they hold may be anything, code that was never read included."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "constants": (None,),
    "data_format": (None, "channels_last", "default"),
    "groups": (1,),
    "lora_alpha": (None,),
    "lora_rank": (None,),
    "mask": (None,),
    "mask_zero": (False,),
    "quantization_config": (None,),
    "ragged": (False,),
    "renorm": (False,),
    "sparse": (False,),
    "time_major": (False,),
    "training": (None, False),
}
"""Options, of layers and of calls, that change nothing at these values."""

FLOATS = ("float", "float32", "float64", "float16", "bfloat16")
WHOLE = {"bool": "bool", "int64": "int64"} | dict.fromkeys(
    ("int8", "int16", "int32", "uint8", "uint16"), "int32"
)
"""Dtypes of Keras that are no floats, and what the graph has in their place."""
REQUIRED: Any = object()


Result = Value | tuple[Value, ...]
Convert = Callable[..., Result]


@dataclass(frozen=True, slots=True)
class Converter:
    """The converter of a Keras class.

    ``masks``: the layer hands its input's mask on. ``structured``: it takes the arguments of a call
    as they were given, lists and constants included.
    """

    convert: Convert
    masks: bool
    structured: bool


CONVERTERS = Registry[str, Converter]("Keras")
"""The converter of each Keras class."""


def keras(
    *kinds: str, masks: bool = False, structured: bool = False
) -> Callable[[Convert], Convert]:
    """Registers a converter for Keras classes.

    It is a function of a ``Layer`` and the tensors the layer is called on, ``Value`` by ``Value``;
    it adds nodes and returns the output, or a tuple of outputs. ``masks``: outputs without a mask
    of their own get that of the first input (Keras calls that ``supports_masking``).
    ``structured``: it is called as the layer was, with lists, constants and options by name; so are
    the operations of TensorFlow and of Keras 3, the latter registered as "ops.NAME".

    Raises:
        ValueError: a class that has one.
    """

    def register(convert: Convert) -> Convert:
        CONVERTERS(*kinds)(Converter(convert, masks, structured))
        return convert

    return register


class Layer:
    """One call of a Keras layer, for its converter.

    Raises:
        Unsupported: from every method, naming the layer and what is in the way.
    """

    def __init__(
        self,
        facts: LayerFacts,
        path: str,
        call: str,
        arrays: Callable[[], Arrays],
        builder: Builder,
        origin: Origin,
        is_shown: bool = True,
    ) -> None:
        """``path`` is the layer's name below the models it is in, ``call`` that and the call.

        ``is_shown``: its output is one of the values that people may ask for.
        """
        self.name, self.kind, self.key = facts.name, facts.kind, facts.key
        self.config, self.path, self.call = facts.config, path, call
        self.generation = origin.generation
        self.builder, self.origin, self.is_shown = builder, origin, is_shown
        self._find_arrays, self._arrays, self._prefix = arrays, list[Arrays](), ""
        self._read: set[str] = set()
        self._options: Mapping[str, Any] = {}

    @property
    def title(self) -> str:
        """The layer as an error names it."""
        return f"Keras {self.kind} {self.path!r}"

    @property
    def arrays(self) -> Arrays:
        """What is stored of it. Once they were asked for, all of them have to be read."""
        if not self._arrays:
            self._arrays.append(self._find_arrays())
        return self._arrays[0]

    # Options

    def __getitem__(self, option: str) -> Any:
        return self.get(option, REQUIRED)

    def get(self, option: str, default: Any) -> Any:
        """An option; ``default`` where the file does not say, as older versions of Keras."""
        self._read.add(option)
        value = self.config.get(option, default)
        if value is REQUIRED:
            raise UnreadableFile(f"{self.title}: its option {option!r} is missing")
        return value

    def either(self, *options: str, default: Any = REQUIRED) -> Any:
        """An option that had several names in its life."""
        option = next((option for option in options if option in self.config), options[0])
        return self.get(option, default)

    def given(self, option: str, default: Any = None) -> Any:
        """What the call, not the layer, was given by this name: tensors are ``Value``."""
        self._read.add(option)
        value = self._options.get(option)
        return default if value is None else value

    def refuse(self, option: str, value: Any) -> Unsupported:
        """The error for an option that is understood but not supported."""
        return Unsupported(f"{self.title}: {option} {value!r} is not supported")

    def read_all(self) -> None:
        """Somebody else sees to it that nothing of its options is lost."""
        self._read.update(self.config)

    # Types

    def tensor(self, x: Value) -> Tensor:
        """Shape and dtype as Keras has them."""
        return Tensor(self.shape(x), self.builder.types[x.name].dtype)

    def shape(self, x: Value) -> tuple[Size, ...]:
        """The shape, batch first; a name stands for an open size."""
        return self.builder.shape(x)

    def rank(self, x: Value) -> int:
        """Number of axes, the batch included."""
        return self.builder.types[x.name].rank

    # Arrays

    def take(self, *names: str, **renamed: str) -> dict[str, Deferred]:
        """Arrays of the layer, by the operation's names, in the order Keras stores them.

        ``kernel="depthwise_kernel|kernel"`` takes one that is stored under another name, or under
        one of several.
        """
        arrays = self.arrays
        found: dict[str, Deferred] = {}
        for ours, stored in [*((name, name) for name in names), *renamed.items()]:
            array = arrays.take(stored)
            if array is None:
                raise UnreadableFile(
                    f"{self.title}: its array {stored.split('|')[0]!r} is missing; "
                    f"stored are {', '.join(arrays.names()) or 'none'}"
                )
            name = stored.split("|")[0]
            found[ours] = replace(array, name=f"{self.path}/{self._prefix}{name}")
        return found

    def hand_over(self) -> Arrays:
        """Its arrays, for somebody else to see to it that none is lost."""
        return self._find_arrays().hand_over()

    def within(self, *names: str) -> Layer:
        """This layer, taking arrays only of a part of it that has one of these names."""
        part = copy(self)
        part._arrays, part._prefix = [self.arrays.part(*names)], f"{self._prefix}{names[0]}/"
        return part

    # The graph

    def add(self, op: Operation, *inputs: Value | None, **arrays: Deferred) -> Value:
        """Adds an operation on tensors as Keras has them; returns its first output.

        An input that is None is left out. Floats that an operation needs are made of whole numbers,
        as Keras makes them.
        """
        return self.add_all(op, *inputs, **arrays)[0]

    def add_all(
        self, op: Operation, *inputs: Value | None, **arrays: Deferred
    ) -> tuple[Value, ...]:
        """As ``add``; returns every output."""
        names = [self.plain(x) if x else "" for x in inputs]
        return self._node(op, names, arrays)

    def through(self, op: Operation, *inputs: Value, **arrays: Deferred) -> Value:
        """Adds an operation that treats all axes alike, below the transposition of its inputs."""
        if len({x.axes for x in inputs}) == 1:
            value = self._node(op, [x.name for x in inputs], arrays)[0]
            return Value(value.name, inputs[0].axes)
        return self.add(op, *inputs, **arrays)

    def plain(self, x: Value) -> str:
        """The value of the graph that is the tensor as Keras has it."""
        return self.builder.plain(x, self.path)

    def flipped(self, x: Value, axis: int) -> Value:
        """The tensor from its end to its beginning along an axis; flipped twice it is itself."""
        name, flips = self.plain(x), self.builder.flips
        if (name, axis) not in flips:
            whole = (None,) * self.rank(x)
            steps = tuple(-1 if i == axis else None for i in range(self.rank(x)))
            flipped = self.add(ops.StridedSlice(whole, whole, steps), Value(name)).name
            flips[name, axis], flips[flipped, axis] = flipped, name
        return Value(flips[name, axis])

    def channels_last(self, x: Value) -> Value:
        """A tensor whose channels are axis 1, with its channels last."""
        return Value(self.builder.channels_last(x, self.path))

    def channels_first(self, x: Value) -> Value:
        """The tensor of that channels-last value whose channels are axis 1."""
        first = channels_first(x.name, self.rank(x))
        return Value(first.name, first.axes)

    def constant(self, value: Any, dtype: str = "float32") -> Value:
        """A constant tensor: a number or nested lists of numbers."""
        array = np.asarray(value)
        if dtype in WHOLE:
            numbers = tuple(array.astype(WHOLE[dtype]).reshape(-1).tolist())
            return self.add(ops.Literal(numbers, array.shape, WHOLE[dtype]))
        floats = array.astype(np.float32)
        name = self.builder.free_name(f"{self.call}/constant")
        stored = Deferred(name, floats.shape, floats.dtype, lambda: floats)
        return self.add(ops.Constant(floats.shape), value=stored)

    def state(self, name: str, shape: tuple[Size, ...]) -> Value:
        """A state that a call takes from the one before; zeros in the first of all."""
        held = f"{self.path}/{name}"
        if held not in self.builder.types:
            return self.builder.add_input(held, Tensor(shape))
        return Value(self.builder.states.get(held, held))

    def keep(self, name: str, new: Value) -> None:
        """What the state of that name is to be in the next call."""
        held = f"{self.path}/{name}"
        self.builder.states[held] = self.plain(new)
        self.builder.state_outputs[held] = f"{held}/next"

    def inner(self, entry: Any, arrays: Arrays | Callable[[], Arrays], name: str = "") -> Layer:
        """A layer that this one holds, {class_name, config}, with its own share of the arrays."""
        facts = inner_facts(entry)
        path, call = (f"{at}/{name or facts.name}" for at in (self.path, self.call))
        find = arrays if callable(arrays) else lambda: arrays
        return Layer(facts, path, call, find, self.builder, self.origin, is_shown=False)

    def instead(self, kind: str, config: Mapping[str, Any]) -> Layer:
        """This layer, with the same arrays, as one of another class and with other options."""
        other = copy(self)
        other.kind = other.key = kind
        other.config, other._read, other._options = config, set[str](), {}
        return other

    def convert(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer makes of the arguments of a call, by the converter of its class.

        Raises:
            Unsupported: no converter, or an option or array that nothing read.
        """
        converter = self.builder.substitute(self) or CONVERTERS.get(self.key)
        if converter is None:
            raise Unsupported(
                f"{self.title}: there is no converter for this class; "
                "--substitute says what it computes"
            )
        return self.convert_by(converter, *args, **kwargs)

    def convert_by(self, converter: Converter, *args: Any, **kwargs: Any) -> Any:
        """As ``convert``, by a converter that is given."""
        if converter.structured:
            result = converter.convert(self, *args, **kwargs)
            self.finish()
            return result
        self._options, inputs = kwargs, list(self.flat(args))
        inputs = with_masks(inputs, self.given("mask"))
        result = converter.convert(self, *inputs)
        self.finish()
        if self.origin.loses_masks_of_lists and args and isinstance(args[0], list):
            return without_masks(result)
        if not converter.masks or not inputs or inputs[0].mask is None:
            return result
        mask = inputs[0].mask
        if isinstance(result, Value):
            return result if result.mask else result.masked(mask)
        return tuple(value if value.mask else value.masked(mask) for value in result)

    def flat(self, args: Any) -> Iterator[Value]:
        """The tensors among the arguments, in order."""
        for arg in args.values() if isinstance(args, dict) else args:
            if isinstance(arg, Value):
                yield arg
            elif isinstance(arg, list | tuple | dict):
                yield from self.flat(arg)
            elif arg is not None:
                raise Unsupported(f"{self.title}: it is called with {arg!r}, which is no tensor")

    def _node(
        self, op: Operation, inputs: Iterable[str], arrays: Mapping[str, Deferred]
    ) -> tuple[Value, ...]:
        builder = self.builder
        names = tuple(self._floats(name) if not op.any_dtype else name for name in inputs)
        name = builder.free_name(f"{self.call}/{op.kind}")
        # A later call of a shared layer finds its parameters under the same names.
        params = {local: array.name for local, array in arrays.items()}
        self._check_arrays(op, names, arrays)
        builder.parameters.update({array.name: array for array in arrays.values()})
        return builder.add(Node(name, op, names, params, self.path))

    def _floats(self, name: str) -> str:
        """Keras computes in floats whatever it is given."""
        if not name or self.builder.types[name].dtype == "float":
            return name
        made = self.builder.free_name(f"{name}/float")
        return self.builder.add(Node(made, ops.Cast("float"), (name,), {}, self.path))[0].name

    def finish(self) -> None:
        """After the converter: whatever was not read must be known to change nothing."""
        self._check_dtype()
        for option, value in {**self.config, **self._options}.items():
            known = option in self._read or option in INERT or option.endswith(INERT_ENDINGS)
            if known or _is_neutral(option, value):
                continue
            raise Unsupported(f"{self.title}: it sets {option}={value!r}, which would be lost")
        if self._arrays and (left := next(self._arrays[0].left(), None)):
            raise Unsupported(f"{self.title}: its array {left!r} would be lost")

    def _check_arrays(
        self, op: Operation, inputs: Iterable[str], arrays: Mapping[str, Deferred]
    ) -> None:
        try:
            wanted = op.params(*(self.builder.types[name] if name else None for name in inputs))
        except (ValueError, TypeError, IndexError):
            return  # the graph says it better
        for local, param in wanted.items():
            if local in arrays and arrays[local].shape != param.shape:
                raise UnreadableFile(
                    f"{self.title}: its {local} has the shape {arrays[local].shape}, "
                    f"its options ask for {param.shape}"
                )

    def _check_dtype(self) -> None:
        self._read.add("dtype")
        dtype = dtype_name(self.config.get("dtype", "float32"))
        if dtype not in (None, *FLOATS, *WHOLE, "string"):
            raise self.refuse("dtype", dtype)


def without_masks(result: Result) -> Result:
    """The outputs of a layer, none of which has a mask."""
    if isinstance(result, Value):
        return result.masked(None)
    return tuple(value.masked(None) for value in result)


def with_masks(inputs: list[Value], given: Any) -> list[Value]:
    """The inputs with the masks that a call was given, as Keras 3 writes those it computed, too."""
    if given is None:
        return inputs
    masks: list[Any] = [*given] if isinstance(given, list | tuple) else [given]
    masks += [None] * (len(inputs) - len(masks))
    return [
        x.masked(mask) if isinstance(mask, Value) else x
        for x, mask in zip(inputs, masks, strict=False)
    ]


def _is_neutral(option: str, value: Any) -> bool:
    return any(value is known or value == known for known in NEUTRAL.get(option, ()))


def dtype_name(dtype: Any) -> Any:
    """The dtype of variables that a dtype or a policy stands for.

    A mixed policy keeps its variables in float32; one of whole numbers names what they stand for.
    """
    if isinstance(dtype, dict):
        dtype = (dtype.get("config") or {}).get("name")
    if isinstance(dtype, str):
        dtype = dtype.rpartition("_from_")[2]
        if dtype in ("mixed_float16", "mixed_bfloat16"):
            return "float32"
    return dtype
