"""LLVM vectors: helpers of the intrinsics."""

from __future__ import annotations

from typing import Any

from llvmlite import ir


def place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Where an array's value `at` lies, counted over all its values; nothing is checked."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def everywhere(builder: Any, value: Any, width: int) -> Any:
    """A vector of one number of 32 bits."""
    number = ir.IntType(32)
    vector = ir.VectorType(number, width)
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(number, 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(vector, [0] * width))
