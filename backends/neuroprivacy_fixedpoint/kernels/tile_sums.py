"""Synaptic input of a tile of neurons, summed in registers over a list of events."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from neuroprivacy_fixedpoint.columns import EVENTS
from neuroprivacy_fixedpoint.kernels.compiled import inlined, intrinsic
from neuroprivacy_fixedpoint.kernels.vectors import place


@inlined
def fill_up(listed, found, zeros):
    """Pad a list to a multiple of EVENTS with `zeros`, the offset of zero weights; returns its length."""
    for filler in range(EVENTS - 1):
        listed[found + filler] = zeros
    return (found + EVENTS - 1) // EVENTS * EVENTS


def tile_sum_kernel(width: int, *, adds: bool) -> Any:
    """A kernel that writes the sums of a tile of `width` neurons, or adds them."""

    @intrinsic
    def sum_tile(typing, weights, bases, first, end, offset, sums, at):
        """sums[at : at + width] = the weights from bases[first ... end - 1] + offset on, `width` of each.

        Events are added EVENTS at a time, in 16 bits where weights have 8, else in 64: in vectors as wide as the
        machine has them, which the compiler does not keep in registers by itself.
        """

        def generate(context, builder, signature, given):
            """Arrays are handed over by their memory alone: nothing is checked."""
            _, _, begin, stop, skipped, _, first_sum = given
            nowhere = ir.Constant(ir.IntType(64), 0)
            weights_at, events, sums_at = (
                place(context, builder, signature.args[i], given[i], at)
                for i, at in ((0, skipped), (1, nowhere), (5, first_sum))
            )
            weight, total, number = weights_at.type.pointee, sums_at.type.pointee, ir.IntType(64)
            wide = ir.IntType(16 if weight.width == 8 else 64)
            weight_row, wide_row, total_row = (ir.VectorType(each, width) for each in (weight, wide, total))
            before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
            nothing = ir.Constant(wide_row, [0] * width)
            builder.cbranch(builder.icmp_signed("<", begin, stop), loop, after)
            builder.position_at_end(loop)
            k, held = builder.phi(number), builder.phi(wide_row)
            added = held
            for event in range(EVENTS):
                base = builder.load(builder.gep(events, [builder.add(k, ir.Constant(number, event))]))
                row = builder.bitcast(builder.gep(weights_at, [builder.sext(base, number)]), weight_row.as_pointer())
                added = builder.add(added, builder.sext(builder.load(row, align=1), wide_row))
            k_next = builder.add(k, ir.Constant(number, EVENTS))
            k.add_incoming(begin, before)
            k.add_incoming(k_next, loop)
            held.add_incoming(nothing, before)
            held.add_incoming(added, loop)
            builder.cbranch(builder.icmp_signed("<", k_next, stop), loop, after)
            builder.position_at_end(after)
            found = builder.phi(wide_row)
            found.add_incoming(nothing, before)
            found.add_incoming(added, loop)
            value = found if total == wide else builder.sext(found, total_row)
            target = builder.bitcast(sums_at, total_row.as_pointer())
            if adds:
                value = builder.add(builder.load(target, align=2), value)
            builder.store(value, target, align=2)
            return context.get_dummy_value()

        return types.void(weights, bases, first, end, offset, sums, at), generate

    return sum_tile
