"""SIMD lanes: a type of TILE 32-bit integers, one for each neuron of a tile, and a mask of TILE bits.

A function written with `where`, `larger` and `size_of` computes one neuron or TILE neurons, depending on its arguments.
LLVM splits the lanes into vectors of the machine's width. Automatic vectorisation of a loop over neurons is slower: its
test for overlapping arrays takes longer than one time step of a tile.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import models, overload, register_model

from neuroprivacy_fixedpoint.columns import TILE
from neuroprivacy_fixedpoint.kernels.compiled import intrinsic
from neuroprivacy_fixedpoint.kernels.vectors import everywhere, place


class _Vector(types.Type):
    """TILE integers of so many bits."""

    def __init__(self, name: str, bits: int) -> None:
        super().__init__(name=name)
        self.bits = bits


_LANES, _MASK = _Vector("Lanes", 32), _Vector("Mask", 1)


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    """Represents lanes as a single LLVM vector."""

    def __init__(self, manager: Any, kind: _Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.IntType(kind.bits), TILE))


def _as_wide(builder: Any, value: Any, element: Any) -> Any:
    """Signed integers, or a vector of them, with elements of that width; of a mask, 1 where it is true."""
    vector = isinstance(value.type, ir.VectorType)
    has = (value.type.element if vector else value.type).width
    wanted = ir.VectorType(element, TILE) if vector else element
    if has == element.width:
        return value
    if has > element.width:
        return builder.trunc(value, wanted)
    return builder.zext(value, wanted) if has == 1 else builder.sext(value, wanted)


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    """A vector of one number, of which only the lowest bits are kept; vectors as they are."""
    if isinstance(kind, _Vector):
        return value
    return everywhere(builder, _as_wide(builder, value, ir.IntType(32)), TILE)


def _binary(result: Any, build: Callable[[Any, Any, Any], Any]) -> Any:
    """A function of two lanes, or of lanes and a number."""

    @intrinsic
    def apply(typing, a, b):
        """Apply the operation lane by lane."""

        def generate(context, builder, signature, given):
            """Numbers become lanes."""
            return build(builder, *(_splat(builder, *pair) for pair in zip(given, signature.args, strict=True)))

        return result(a, b), generate

    return apply


def _are_lanes(a: Any, b: Any) -> bool:
    """Whether both operands are lanes, or one of them is a number."""
    kinds = [a, b]
    return _LANES in kinds and all(kind is _LANES or isinstance(kind, types.Integer) for kind in kinds)


def _compare(sign: str) -> Callable[[Any, Any, Any], Any]:
    """Emit the comparison of lanes."""
    return lambda builder, a, b: builder.icmp_signed(sign, a, b)


def _define(of: Any, result: Any, build: Callable[[Any, Any, Any], Any]) -> None:
    """Let an operator work on lanes."""
    apply = _binary(result, build)

    @overload(of)
    def operate(a, b):
        """Type the operation where at least one operand is lanes."""
        return (lambda a, b: apply(a, b)) if _are_lanes(a, b) else None


_define(operator.add, _LANES, lambda builder, a, b: builder.add(a, b))
_define(operator.sub, _LANES, lambda builder, a, b: builder.sub(a, b))
_define(operator.mul, _LANES, lambda builder, a, b: builder.mul(a, b))
_define(operator.and_, _LANES, lambda builder, a, b: builder.and_(a, b))
_define(operator.lshift, _LANES, lambda builder, a, b: builder.shl(a, b))
_define(operator.rshift, _LANES, lambda builder, a, b: builder.ashr(a, b))
for _operator, _sign in (
    (operator.ge, ">="), (operator.gt, ">"), (operator.le, "<="), (operator.lt, "<"), (operator.ne, "!="),
):  # fmt: skip
    _define(_operator, _MASK, _compare(_sign))


@intrinsic
def load_lanes(typing, values, at):
    """values[at : at + TILE] as lanes, of all values of an array."""

    def generate(context, builder, signature, given):
        """Arrays are handed over by their memory alone: nothing is checked."""
        source = place(context, builder, signature.args[0], given[0], given[1])
        kind = ir.VectorType(source.type.pointee, TILE)
        return _as_wide(builder, builder.load(builder.bitcast(source, kind.as_pointer()), align=1), ir.IntType(32))

    return _LANES(values, at), generate


@intrinsic
def store_lanes(typing, values, at, lanes):
    """values[at : at + TILE] = lanes, or 1 where a mask is true, of all values of an array."""

    def generate(context, builder, signature, given):
        """Arrays are handed over by their memory alone: nothing is checked."""
        target = place(context, builder, signature.args[0], given[0], given[1])
        value = _as_wide(builder, given[2], target.type.pointee)
        builder.store(value, builder.bitcast(target, value.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(values, at, lanes), generate


@intrinsic
def as_lanes(typing, number):
    """Lanes that are all one number; lanes as they are."""

    def generate(context, builder, signature, given):
        """See `_splat`."""
        return _splat(builder, given[0], signature.args[0])

    return _LANES(number), generate


@intrinsic
def lane_numbers(typing):
    """The index of each lane: 0 ... TILE - 1."""

    def generate(context, builder, signature, given):
        """A constant."""
        return ir.Constant(ir.VectorType(ir.IntType(32), TILE), list(range(TILE)))

    return _LANES(), generate


@intrinsic
def _choose(typing, condition, a, b):
    """Lane by lane, a where the mask is true, else b."""

    def generate(context, builder, signature, given):
        """One selection."""
        return builder.select(*given)

    return _LANES(condition, a, b), generate


@intrinsic
def count_true(typing, mask):
    """In how many lanes a mask is true."""

    def generate(context, builder, signature, given):
        """The bits of one integer."""
        return builder.ctpop(builder.bitcast(given[0], ir.IntType(64)))

    return types.int64(mask), generate


def where(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition holds, else `b`."""
    return a if condition else b


def larger(a: Any, b: Any) -> Any:
    """The larger of two values, lane by lane."""
    return max(a, b)


def size_of(x: Any) -> Any:
    """The absolute value, lane by lane."""
    return abs(x)


@overload(where)
def _where(condition, a, b):
    """Implements `where` for lanes and for numbers."""
    if condition is _MASK:
        return lambda condition, a, b: _choose(condition, a, b)
    return lambda condition, a, b: a if condition else b


@overload(larger)
def _larger(a, b):
    """Implements `larger` for lanes and for numbers."""
    if a is _LANES:
        return lambda a, b: _choose(a > b, a, b)
    return lambda a, b: max(a, b)


@overload(size_of)
def _size_of(x):
    """Implements `size_of` for lanes and for numbers."""
    if x is _LANES:
        return lambda x: _choose(x < 0, 0 - x, x)
    return lambda x: abs(x)


@intrinsic
def largest_lane(typing, lanes):
    """The maximum over all lanes."""

    def generate(context, builder, signature, given):
        """Halves are compared with each other until one lane is left."""
        value, left = given[0], TILE
        while left > 1:
            left //= 2
            halves = [
                builder.shuffle_vector(
                    value, value, ir.Constant(ir.VectorType(ir.IntType(32), left), list(range(first, first + left)))
                )
                for first in (0, left)
            ]
            value = builder.select(builder.icmp_signed(">", *halves), *halves)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.int32(lanes), generate
