"""Images of another size."""

from __future__ import annotations

from ....runtime import ops
from ....runtime.errors import Unsupported
from ....runtime.ops.interpolation import Method
from ...builder import Value, channels_first
from ..call import Call, onnx
from ..sizes import plain


@onnx("Resize", "Upsample")
def resize(call: Call) -> Value:
    x = call.value(0)
    rank = len(call.shape(x))
    factors = _factors(call, call.shape(x))
    if len(factors) != rank or rank < 3 or any(f != 1 for f in factors[:2]):
        raise Unsupported(f"{call.title}: {factors} times as large is not supported")
    call.options.ignore("extrapolation_value", "cubic_coeff_a")
    name = call.builder.channels_last(x, call.layer)
    op = ops.Resample((), factors[2:], _method(call, rank))
    return channels_first(call.add(op, name), rank)


def _factors(call: Call, shape: tuple[int | str, ...]) -> tuple[int, ...]:
    """How many times as large each axis becomes."""
    rank = len(shape)
    at = 1 if call.kind == "Upsample" or call.opset < 11 else 2
    axes = call.options.get("axes") or range(rank)
    given = call.given(at)
    if "scales" in call.options or (given is not None and 0 not in call.shape(given)):
        scales = call.numbers(at, "scales")
        found = dict(zip(axes, scales, strict=False))
    else:
        sizes = [plain(n) for n in call.numbers(3)]
        found: dict[int, float] = {}
        for axis, size in zip(axes, sizes, strict=False):
            own = shape[axis]
            if size == own:
                continue
            if not (isinstance(size, int) and isinstance(own, int)):
                raise Unsupported(f"{call.title}: from {own} to {size} is not known")
            found[axis] = size / own
    whole = [found.get(axis, 1) for axis in range(rank)]
    if any(float(f) != int(f) or f < 1 for f in whole):
        raise Unsupported(f"{call.title}: {tuple(whole)} times as large is not supported")
    return tuple(int(f) for f in whole)


NEAREST = {
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("half_pixel_symmetric", "round_prefer_floor"),
    ("asymmetric", "floor"),
    ("pytorch_half_pixel", "round_prefer_floor"),
}
"""What repeats pixels, where an image becomes a whole number of times as large."""
LINEAR: dict[str, Method] = {
    "half_pixel": "bilinear",
    "half_pixel_symmetric": "bilinear",
    "asymmetric": "corner_bilinear",
}


def _method(call: Call, rank: int) -> Method:
    mode = _text(call.options.get("mode", "nearest"))
    default = "asymmetric" if call.kind == "Upsample" or call.opset < 11 else "half_pixel"
    where = _text(call.options.get("coordinate_transformation_mode", default))
    rounding = "floor" if default == "asymmetric" else "round_prefer_floor"
    rounding = _text(call.options.get("nearest_mode", rounding))
    if call.options.get("antialias", 0) or call.options.get("exclude_outside", 0):
        raise call.options.refuse("antialias")
    policy = _text(call.options.get("keep_aspect_ratio_policy", "stretch"))
    if mode == "nearest" and (where, rounding) in NEAREST and policy == "stretch":
        return "nearest"
    if mode in ("linear", "bilinear") and rank == 4 and where in LINEAR and policy == "stretch":
        return LINEAR[where]
    raise Unsupported(f"{call.title}: the mode {mode!r} ({where}, {rounding}) is not supported")


def _text(found: str | bytes) -> str:
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found
