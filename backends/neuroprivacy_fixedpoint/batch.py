"""A batch: the buffers of some samples, and the kernel calls that compute one time block after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64
from neuroprivacy_fixedpoint.aligned import zeros
from neuroprivacy_fixedpoint.plan import Plan

Calls = Sequence[Callable[[], None]]


class _Scratch:
    """Scratch memory of one thread: event lists, values, accumulators of 16 and 32 bits, or of 64."""

    def __init__(self, plan: Plan) -> None:
        self.lists, self.value = zeros((5, plan.events), np.int32), zeros(plan.events, np.int32)
        self.listed, self.starts = zeros(plan.listed, np.int32), zeros(plan.starts, np.int64)
        self.sums = tuple(zeros(plan.largest, kind) for kind in (np.int16, np.int32))
        self.wide_sums = tuple(zeros((2, plan.largest if plan.wide else 0), np.int64))


class Batch:
    """The arrays that the kernels need to compute one batch of samples.

    Attributes:
        fired: uint8 (samples, rows, bytes): `plan.history` earlier rows, then those of a time block; likewise `graded`,
            int32 (samples, rows, values).
        states: u and v, int32 (samples, neurons); `wide_states` int64, of the layers that need it.
        seen: int64 (partitions, samples, layers, 5).
        totals: int32 (samples, bytes): time steps in which each value was not zero; likewise `graded_totals`.
        bytes: of `fired` and `graded`.
        tallied: int64 (samples, items), counters of all time steps until now.
    """

    def __init__(self, plan: Plan, samples: int, rows: int, partitions: int) -> None:
        # Not before there is something to run: it loads what is compiled.
        from neuroprivacy_fixedpoint import kernels

        self._kernels = kernels
        self.plan, self.samples, self.rows, self.partitions = plan, samples, rows, partitions
        self.fired = zeros((samples, plan.history + rows, plan.width), np.uint8)
        self.graded = zeros((samples, plan.history + rows, plan.graded_width), np.int32)
        shape = (samples, plan.neurons)
        wide = shape if plan.wide else (0, 0)
        self.states = (zeros(shape, np.int32), zeros(shape, np.int32))
        self.wide_states = (zeros(wide, np.int64), zeros(wide, np.int64))
        self.seen = zeros((partitions, samples, len(plan.order), 5), np.int64)
        self.totals = zeros((samples, plan.width), np.int32)
        self.graded_totals = zeros((samples, plan.graded_width), np.int32)
        self.tallied = zeros((samples, len(plan.items.rows)), np.int64)
        self.bytes = self.fired.nbytes + self.graded.nbytes
        self.scratch = [_Scratch(plan) for _ in range(partitions)]
        #: Whether samples begin with the next time block, and whether the rows before it hold anything but zeros.
        self._fresh = self._follows = False

    def load(self, inputs: Mapping[str, NDArray[Any]], here: slice, first: int, count: int) -> None:
        """Load time steps first ... first + count - 1 of the inputs, (samples, T, values) by port; then zeros.

        New samples begin with step 0.
        """
        plan, history = self.plan, self.plan.history
        self._fresh = first == 0
        if first:
            for buffer in (self.fired, self.graded):
                buffer[:, :history] = buffer[:, self.rows : self.rows + history].copy()
            self._follows = True
        elif self._follows:
            self.fired[:, :history] = 0
            self.graded[:, :history] = 0
            self._follows = False
        for name, values in inputs.items():
            graded = name in plan.graded
            at = plan.graded[name] if graded else plan.spikes[name]
            buffer, layout = self.graded if graded else self.fired, plan.layouts[name]
            taken = min(count, max(0, values.shape[1] - first))
            given = values[here, first : first + taken]
            target = buffer[:, history : history + taken, at : at + layout.size]
            if layout.plain:
                target[:] = given
            else:
                channels, area = layout.grid[0], layout.grid[1] * layout.grid[2]
                apart = given.reshape(*given.shape[:2], channels, area).swapaxes(2, 3)
                target.reshape(*target.shape[:2], area, channels)[:] = apart  # a view: one axis is split
            if taken < count:
                buffer[:, history + taken : history + count, at : at + layout.size] = 0

    def compute(self, count: int, together: Callable[[Calls], None]) -> None:
        """Compute a time block. `together` runs the calls of all partitions of a layer."""
        begin = self.plan.history
        end = begin + count
        if self._at_once:
            layers, loop, wide = self._at_once
            self._advance(0, layers, loop, wide, begin, end, counts=True)
            return
        for first, last, loop, wide in self.plan.stages:
            if loop or self.partitions == 1:
                self._advance(first, last, loop, wide, begin, end)
            else:
                whole = partial(self._advance, first, last, loop, wide, begin, end, partitions=self.partitions)
                together([partial(whole, partition=partition) for partition in range(self.partitions)])
        self._advance(0, 0, False, False, begin, end, counts=True)

    @cached_property
    def _at_once(self) -> tuple[int, bool, bool] | None:
        """(layers, whether they form a loop, whether they are wide) if one call computes them all, else None."""
        stages = self.plan.stages
        loop, wide = stages[0][2:]
        if self.partitions > 1 or (len(stages) > 1 and {stage[2:] for stage in stages} != {(False, wide)}):
            return None
        return len(self.plan.order), loop, wide

    def _advance(
        self, first: int, last: int, loop: bool, wide: bool, begin: int, end: int, *, partition: int = 0,
        partitions: int = 1, counts: bool = False,
    ) -> None:  # fmt: skip
        self._kernels.advance(
            first, last, loop, counts, partition, partitions, begin, end, self._fresh, *self._arrays[wide][partition]
        )  # fmt: skip

    @cached_property
    def _arrays(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Arguments of the kernel for each partition, narrow and wide, as `kernels.arguments` names them."""
        plan = self.plan
        both = (
            (plan.weights, plan.constants, self.states, [each.sums for each in self.scratch]),
            (plan.wide_weights, plan.wide_constants, self.wide_states, [each.wide_sums for each in self.scratch]),
        )
        narrow, wide = (
            [
                (
                    (plan.layers, plan.edges, weights, constants, plan.u_init, plan.v_init),
                    (self.fired, self.graded, *states, seen),
                    (scratch.lists, scratch.value, *accumulators, scratch.listed, scratch.starts),
                    (bool(plan.graded), self.totals, self.graded_totals, plan.items.rows, plan.items.fan_out,
                     self.tallied),
                )
                for scratch, seen, accumulators in zip(self.scratch, self.seen, sums, strict=True)
            ]
            for weights, constants, states, sums in both
        )  # fmt: skip
        return narrow, wide

    def fired_of(self, name: str, count: int) -> NDArray[np.generic]:
        """Spikes of a layer in this time block, (samples, count, neurons); to be copied."""
        plan = self.plan
        at, layout = plan.spikes[name], plan.layouts[name]
        return layout.outside(self.fired[:, plan.history : plan.history + count, at : at + layout.size])

    def totals_of(self, name: str) -> Int64:
        """Spike counts of a layer, (samples, neurons)."""
        at, layout = self.plan.spikes[name], self.plan.layouts[name]
        return np.asarray(layout.outside(self.totals[:, at : at + layout.size]), np.int64)

    def states_of(self, name: str) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        """u and v of a layer, (samples, neurons); to be copied."""
        plan = self.plan
        at, layout = plan.states[name], plan.layouts[name]
        u, v = self.wide_states if name in plan.wide else self.states
        return layout.outside(u[:, at : at + layout.size]), layout.outside(v[:, at : at + layout.size])
